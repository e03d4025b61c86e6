"""`el.open` with a shared cube, a token, or a peer's engine: what goes together, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import earthlab as el
from earthlab.errors import BadRequest, FallbackWarning, NothingFound, ReadFault, SetupError


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", str(folder))
    return folder


def test_a_shared_cube_is_the_cube_and_opens_again_by_its_token(pair, store):
    lazy, shared = el.open(pair), el.open(pair, share=True)
    xr.testing.assert_identical(lazy.compute(), shared.compute())
    again = el.open(f"cube:{shared.earthlab.plan.token}")
    xr.testing.assert_identical(again.compute(), shared.compute())
    assert el.plan(pair).explain().shared.startswith("oui / yes")


def test_a_plan_says_whether_its_cube_is_shared_already(pair):
    assert el.plan(pair).explain().shared == "non / no"
    el.open(pair, share=True)
    assert "cube partagé / shared" in str(el.plan(pair).explain())
    assert el.plan(pair).explain().shared.startswith("oui / yes")


def test_where_the_lab_has_no_store_sharing_is_refused_in_plain_words_and_all_else_goes_on(pair, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", "none")
    with pytest.raises(SetupError, match=r"pas d’entrepôt.*sans share=True.*\| This lab has no store.*s3://bucket"):
        el.open(pair, share=True)
    with pytest.raises(SetupError, match="no store of shared cubes"):
        el.open(f"cube:{'0' * 20}")
    assert el.open(pair).red.notnull().any()
    assert "no, this lab keeps none" in el.plan(pair).explain().shared


@pytest.mark.filterwarnings("ignore::earthlab.errors.FaultWarning")
def test_faults_of_the_building_come_with_the_shared_cube_and_strict_refuses_it(pair, tmp_path):
    (tmp_path / "b-red.tif").unlink()
    cube = el.open(pair, share=True)
    assert set(cube.earthlab.faults.item) == {"b"}
    assert np.isnan(cube.red[1]).all()
    with pytest.raises(ReadFault, match=r"lacks 1 reads\. First: item 'b', band 'red'"):
        el.open(pair, share=True, strict=True)


def test_where_the_store_cannot_be_written_the_sources_are_read(pair, store, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", "/sys/earthlab-cubes")
    with pytest.warns(FallbackWarning, match=r"Read from its sources instead"):
        cube = el.open(pair, share=True)
    assert cube.red.notnull().any()


@pytest.mark.parametrize(
    ("what", "words", "message"),
    [
        ("theia-n3a", {}, r"found the text 'theia-n3a', expected \"cube:<token>\""),
        ("cube:00000000000000000000", {"bands": ["red"]}, r"a shared cube is as it was built"),
    ],
)
def test_texts_that_are_no_shared_cube_are_refused(what, words, message):
    with pytest.raises(BadRequest, match=message):
        el.open(what, **words)


def test_a_token_nobody_built_is_not_found():
    with pytest.raises(NothingFound, match="There is no shared cube 00000000000000000000"):
        el.open("cube:00000000000000000000")


@pytest.mark.parametrize("engine", ["stackstac", "odc"])
def test_a_peer_opens_the_same_plan(pair, engine):
    items = pair[:1]
    ours, theirs = el.open(items).compute(), el.open(items, engine=engine).compute()
    np.testing.assert_allclose(theirs.red, ours.red, atol=1e-6)
    assert theirs.red.attrs["units"] == "1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"engine": "odc", "share": True}, r"shared cubes are built by the lab's own engine"),
        ({"engine": "odc", "strict": True}, r"odc is always strict"),
        ({"engine": "xcube"}, r"engine: found 'xcube'.*earthlab, odc, stackstac"),
    ],
)
def test_words_that_do_not_go_together_are_refused(pair, words, message):
    with pytest.raises(BadRequest, match=message):
        el.open(pair, **words)
