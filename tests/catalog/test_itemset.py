"""The answer: round trips, which band a name means, and what is shown of it."""

import json
from dataclasses import replace

import pytest

from earthlab.catalog import Band, ItemSet, make_query, norm_item
from earthlab.catalog.itemset import Outcome
from earthlab.errors import BadRequest
from earthlab.testing.providers import item as stac_item


def items_of(*bands: Band, name: str = "un") -> ItemSet:
    return ItemSet((replace(norm_item(stac_item(name)), bands=bands),))


def band(asset: str, *, pixel: float = 10, media_type: str = "image/tiff; profile=cloud-optimized", **words) -> Band:
    transform = (pixel, 0.0, 0.0, 0.0, -pixel, 0.0)
    return Band(asset, asset, f"{asset}.tif", media_type=media_type, transform=transform, **words)


def test_an_answer_survives_json_and_keeps_its_token():
    answer = ItemSet(tuple(norm_item(stac_item(n)) for n in ("a", "b")), make_query("essai", time="2018"), "http://x/")
    again = ItemSet.from_json(answer.to_json())
    assert again == answer
    assert again.token == answer.token
    assert replace(answer, query=make_query(), catalogue="").token == answer.token
    assert answer[:1].token != answer.token


def test_a_report_survives_json_and_is_shown_without_markup_of_its_own():
    report = (Outcome("lab", "answered", 3, 0.2), Outcome("<b>geodes</b>", "slow", 0, 30, "<i>after 30 s</i>"))
    answer = ItemSet((norm_item(stac_item("a")),), make_query("essai"), "", report)
    assert ItemSet.from_json(answer.to_json()) == answer
    assert answer[:1].report == report
    shown = answer._repr_html_()
    assert "lab : a répondu / answered, 3 (0.2 s)" in shown
    assert "trop lent / too slow" in shown
    assert "&lt;b&gt;geodes" in shown
    assert "<i>" not in shown


def test_answers_of_before_instruments_were_kept_can_be_read_and_keep_their_tokens():
    """The token, which shared cubes carry, was computed by the version before."""
    told = stac_item("b")
    told["properties"] |= {"instruments": ["msi"], "gsd": 10}
    answer = ItemSet((norm_item(stac_item("a")), norm_item(told)))
    assert answer.items[1].instruments == ("msi",)
    assert answer.items[1].properties == (("gsd", 10.0),)
    assert answer.token == "b64fcaeb77c208f491ab"
    old = json.loads(answer.to_json())
    del old["items"][1]["instruments"], old["items"][1]["properties"]
    assert ItemSet.from_json(json.dumps(old)).token == answer.token


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"items": 3}', '{"items": [{}], "query": {}, "catalogue": ""}'])
def test_a_text_that_is_no_answer_is_refused(text):
    with pytest.raises(BadRequest, match=r"not a document of ItemSet\.to_json"):
        ItemSet.from_json(text)


VISUAL = band("visual", common_name="red", of=3)
COG, JP2 = band("red", common_name="red"), band("red-jp2", common_name="red", media_type="image/jp2")
COARSE = band("B04_20m", common_name="red", pixel=20)


@pytest.mark.parametrize(
    ("bands", "asked", "chosen"),
    [
        ((VISUAL, COG), "red", COG),
        ((JP2, COG), "red", COG),
        ((COARSE, COG), "red", COG),
        ((COARSE, JP2), "red", COARSE),
        ((VISUAL, COARSE), "red", COARSE),
        ((COG, JP2), "red-jp2", JP2),
        ((COG, VISUAL), "visual", VISUAL),
        ((VISUAL,), "red", VISUAL),
        ((COG,), "nir", None),
    ],
)
def test_a_name_means_the_best_band_that_answers_to_it(bands, asked, chosen):
    for order in (bands, bands[::-1]):
        assert items_of(*order).items[0].find_band(asked) == chosen


def test_a_band_that_no_item_has_is_refused_with_the_nearest_and_all():
    with pytest.raises(
        BadRequest, match=r"no item of essai has 'redd'\. Nearest: red\. All bands: red, red-jp2\.|Nearest"
    ):
        items_of(COG, JP2).require_band("redd")


def test_an_answer_counts_slices_and_iterates():
    answer = ItemSet(tuple(norm_item(stac_item(n)) for n in "abc"))
    assert (len(answer), [i.id for i in answer], answer[1].id, len(answer[1:])) == (3, ["a", "b", "c"], "b", 2)
    assert isinstance(answer[1:], ItemSet)
    assert len(answer.dates) == 1


def test_the_table_escapes_hostile_ids():
    hostile = "<img src=x onerror=alert(1)>"
    shown = ItemSet((replace(norm_item(stac_item(hostile)), collection=hostile),))._repr_html_()
    assert "<img" not in shown
    assert shown.count("&lt;img") == 2


def test_the_table_says_simulated_and_how_many_more():
    one = replace(norm_item(stac_item("un")), simulated=True)
    shown = ItemSet((one,) * 25)._repr_html_()
    assert "Données simulées / simulated data" in shown
    assert "5 de plus / more" in shown
    assert repr(ItemSet(())) == "<ItemSet 0 items of no collection, no dates>"
