"""Real documents of most providers, from the catalogue's door to a plan or to a reason why not: one table says it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from earthlab.catalog import Item, ItemSet, find_profile, norm_item
from earthlab.catalog.citation import licences_of
from earthlab.cube.planning import plan
from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, ReadFault
from earthlab.types import parse_moment

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "stac_samples"
WANTED = ("red", "vv", "gamma0_vv", "elevation", "dem", "nbart_red", "MS", "data")

PLANNED = {
    "RECONSTRUCTED_mtd_sentinel2_l2a_theia_item": ("EPSG:32631", (10980, 10980)),
    "cdse_s2_l2a_stac110_item": ("EPSG:32633", (10980, 10980)),
    "copdem_glo30_item": ("EPSG:4326", (3600, 2400)),
    "dea_ls8c_ard_item": ("EPSG:32656", (7841, 7781)),
    "earthsearch_v0_s2_l2a_cog_item": ("EPSG:32628", (10980, 10980)),
    "earthsearch_v1_s2_l1c_item": ("EPSG:32627", (10980, 10980)),
    "lidar_dem_item": ("EPSG:28355", (2000, 2000)),
    "pc_s2_l2a_item": ("EPSG:32606", (10980, 10980)),
    "pc_s2_l2a_rasterext_item": ("EPSG:32606", (10980, 10980)),
    # Its catalogue places radar geometry on the box of the scene: what it states is taken at its word.
    "s1_grd_iw_item": ("EPSG:4326", (26144, 16676)),
    "s1_rtc_aws_item": ("EPSG:32617", (5490, 5490)),
    "usgs_lc08_l2sp_item": ("EPSG:32615", (8041, 7931)),
}
NOT_AN_ITEM = {
    "cdse_odata_s1_search",
    "copdem_glo30_collection",
    "daymet_xarrayassets_collection",
    "eopf_s1_rtc_collection",
    "pc_s2_l2a_collection",
}
NO_GRID = {"RECONSTRUCTED_mtd_dinamis_openspot_item", "auth_ext_item"}


@dataclass(frozen=True)
class Row:
    """What became of one document."""

    name: str
    outcome: str
    day: str = ""
    bands: int = 0
    mask: str = ""
    licence: str = ""
    grid: tuple[str, tuple[int, int]] | None = None
    reason: str = ""


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    paths = sorted(SAMPLES.glob("*.json"))
    if not paths:
        pytest.fail("The shared STAC documents are not here: put them in ../shared/stac_samples.")
    return {row.name: row for path in paths for row in follow(path)}


def follow(path: Path) -> Iterator[Row]:
    """The document with the network out of reach, so that what needs a file's header says so."""
    document = json.loads(path.read_text().replace("https://", "https://127.0.0.1:9/"))
    features = document["features"] if document.get("type") == "FeatureCollection" else [document]
    for feature in features:
        try:
            item = norm_item(feature)
        except CatalogueUnavailable as exc:
            yield Row(path.stem, "no item", reason=str(exc))
            continue
        yield follow_item(path.stem, item)


def follow_item(name: str, item: Item) -> Row:
    closed = [band.asset for band in item.bands if band.kind != "raster"]
    wanted = next((word for word in (*WANTED, *closed) if item.find_band(word)), item.bands[0].asset)
    profile = find_profile(item.collection)
    known = {
        "day": f"{item.moment:%Y-%m-%d}",
        "bands": len(item.bands),
        "mask": "clear" if profile and "clear" in profile.masks else "",
        "licence": ", ".join(licences_of([item])),
    }
    try:
        found = plan(ItemSet((item,)), bands=[wanted])
    except ReadFault as exc:
        return Row(name, "header wanted", **known, reason=str(exc))
    except EarthlabError as exc:
        return Row(name, "refused", **known, reason=str(exc))
    return Row(name, "plan", **known, grid=(found.crs, found.shape))


def table(rows: dict[str, Row]) -> str:
    lines = [f"{'document':46} {'outcome':13} {'observed':10} {'bands':>5} {'mask':5} {'licence':35} grid, or why not"]
    for row in rows.values():
        shown = f"{row.grid[0]} {row.grid[1][0]} x {row.grid[1][1]}" if row.grid else " ".join(row.reason.split())[:110]
        cells = f"{row.name[:46]:46} {row.outcome:13} {row.day:10} {row.bands or '':>5} {row.mask:5} {row.licence:35}"
        lines.append(f"{cells} {shown}")
    counts = Counter(row.outcome for row in rows.values())
    return "\n".join([*lines, ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))])


def test_every_document_becomes_a_plan_or_is_refused_with_a_reason(rows, capsys):
    with capsys.disabled():
        print(f"\n\n{table(rows)}\n")
    assert {row.name: row.grid for row in rows.values() if row.outcome == "plan"} == PLANNED
    assert {row.name for row in rows.values() if row.outcome == "no item"} == NOT_AN_ITEM
    assert {row.name for row in rows.values() if row.outcome == "refused"} == NO_GRID
    assert all(len(row.reason) > 40 for row in rows.values() if row.outcome != "plan")


def test_a_refusal_says_what_to_do(rows):
    assert all(re.search(r"Give resolution=|crs= and resolution=", rows[name].reason) for name in NO_GRID)
    wanted = [row for row in rows.values() if row.outcome == "header wanted"]
    assert wanted
    assert all("Leave the item out" in row.reason for row in wanted)


def test_the_dates_are_those_of_the_observation(rows):
    for name in ("geodes_peps_s2_l1c_item", "geodes_peps_s2_l1c_searchpage", "RECONSTRUCTED_geodes_theia_s2_l2a_item"):
        content = json.loads((SAMPLES / f"{name}.json").read_text())
        properties = content["features"][0]["properties"] if "features" in content else content["properties"]
        assert rows[name].day == f"{parse_moment(properties['start_datetime']):%Y-%m-%d}"
        assert rows[name].day != f"{parse_moment(properties['datetime']):%Y-%m-%d}"


def test_no_placeholder_is_left_for_a_licence(rows):
    assert not {row.licence for row in rows.values()} & {"Apache-2.0", "proprietary", "various"}
    assert rows["copdem_glo30_item"].licence == "LicenseRef-Copernicus-DEM"
    assert rows["usgs_lc08_l2sp_item"].licence == "LicenseRef-USGS-Landsat-Data-Policy"


def test_a_document_without_anything_to_read_is_refused():
    bare = {"id": "a", "properties": {"datetime": "2020-01-06T00:00:00Z"}, "assets": {}, "links": []}
    with pytest.raises(BadRequest, match="bands"):
        plan(ItemSet((norm_item(bare),)), bands=["red"])
