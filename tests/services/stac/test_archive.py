"""The built catalogue: its pixels, its documents, and how it is built."""

import hashlib
import json
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
import shapely

from earthlab.catalog.profiles import find_profile
from earthlab.errors import SetupError
from earthlab.samples import simulated
from earthlab.samples.fetching import Places
from earthlab.samples.registry import find_sample
from earthlab.services.stac.archive import Holdings, build_catalogue
from earthlab.services.stac.constructed import CONSTRUCTED, simulation
from earthlab.services.stac.extracts import EXTRACTS
from earthlab.services.stac.extracts import bouconne as theia
from earthlab.services.stac.folder import CatalogueReport, read_report
from earthlab.testing.catalogues import bring_catalogue
from tests.services.stac.conftest import TWO, unseen

_TWO = (
    "import sys; from pathlib import Path\n"
    "from earthlab.services.stac.archive import CONSTRUCTED, EXTRACTS, Holdings, build_catalogue\n"
    "two = Holdings(EXTRACTS[:1], CONSTRUCTED[:1])\n"
)
MEDIANS = (0.902, 0.934, 0.916, 0.895, 0.879, 0.876, 0.704)


@pytest.fixture(scope="session")
def items(catalogue: Path) -> dict[str, pystac.Item]:
    return _items(catalogue)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, shared_data: Path, pytestconfig: pytest.Config) -> Path:
    """Everything that the lab holds; in a clean checkout it is built here, for later tests of other rooms too."""

    def build(folder: Path) -> None:
        build_catalogue(folder, unseen, places=Places((shared_data,), folder.parent))

    lab = tmp_path_factory.mktemp("whole")
    bring_catalogue(pytestconfig, lab, build=build)
    return lab / "catalogue"


def _items(catalogue: Path) -> dict[str, pystac.Item]:
    rows = pq.read_table(catalogue / "items.parquet").to_pylist()
    return {row["id"]: pystac.Item.from_dict(json.loads(row["item"])) for row in rows}


@pytest.fixture
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Places where the real sample cannot be had: what they hold is cut short."""
    root = tmp_path_factory.mktemp("spoilt")
    (root / theia.SAMPLE).mkdir()
    (root / theia.SAMPLE / theia.FILE).write_bytes(b"II*")
    return Places((root,), root)


def _pixels(catalogue: Path, item: pystac.Item, key: str) -> np.ndarray:
    with rasterio.open(catalogue / item.assets[key].href) as source:
        return source.read(1)


def _real(items: dict[str, pystac.Item]) -> list[pystac.Item]:
    return [items[f"theia-n3a-bouconne-{date}"] for date in theia.DATES]


def test_all_seventy_bands_of_the_stack_are_read_back_unchanged(catalogue, items, shared_data):
    with rasterio.open(shared_data / "theia_n3a" / theia.FILE) as stack:
        order = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
        wanted = ((item, key) for item in _real(items) for key in order)
        for band, (item, key) in enumerate(wanted, start=1):
            with rasterio.open(catalogue / item.assets[key].href) as source:
                assert (source.read(1) == stack.read(band)).all()
                assert (source.crs, source.transform, source.shape) == (stack.crs, stack.transform, stack.shape)
        assert band == 70


def test_the_median_ndvi_of_each_month_is_the_known_one(catalogue, items):
    for item, known in zip(_real(items), MEDIANS, strict=True):
        red, nir = (_pixels(catalogue, item, key).astype(float) for key in ("B4", "B8"))
        assert np.median((nir - red) / (nir + red)) == pytest.approx(known, abs=0.0005)


def test_the_real_extract_has_no_pixel_of_its_nodata_value(catalogue, items):
    for item in _real(items):
        for key in item.assets:
            assert (_pixels(catalogue, item, key) != theia.NODATA).all()


def test_the_simulated_pixels_are_the_rendered_ones(catalogue, items):
    for day in (simulated.DATES[2], simulated.DATES[-1]):
        item, scene = items[f"simulation-s2-l2a-{day:%Y%m%d}"], simulated.render_scene(day)
        assert (_pixels(catalogue, item, "SCL") == scene.classes).all()
        for band in simulated.BANDS:
            assert (_pixels(catalogue, item, band) == scene.counts[band]).all()


def test_offsets_differ_from_item_to_item_as_in_the_real_archive(items):
    offsets = {
        item.id: item.assets["B04"].extra_fields["bands"][0]["raster:offset"]
        for item in items.values()
        if item.collection_id == "simulation-s2-l2a"
    }
    assert offsets["simulation-s2-l2a-20220110"] == 0.0
    assert offsets["simulation-s2-l2a-20220209"] == -0.1


def test_the_lab_holds_every_extract_and_every_construction(whole):
    report = read_report(whole)
    made = {each.collection for each in CONSTRUCTED}
    assert set(report.items) == {name for extract in EXTRACTS for name in extract.collections} | made
    assert not report.left_out
    assert sum(report.items.values()) == len(_items(whole))


def test_nothing_simulated_is_unmarked_and_nothing_real_is_marked(whole):
    marked = {}
    for document in json.loads((whole / "collections.json").read_text()):
        marked[document["id"]] = document["earthlab:simulated"]
        assert document["title"].startswith("SIMULÉ") is document["earthlab:simulated"], document["id"]
    assert marked["simulation-s2-l2a"]
    assert not marked["theia-n3a"]
    for item in _items(whole).values():
        assert item.properties["earthlab:simulated"] is marked[item.collection_id], item.id
        assert item.properties["title"].startswith("SIMULÉ") is marked[item.collection_id], item.id


def test_files_are_cogs_with_overviews_where_they_are_larger_than_a_block(catalogue, items):
    for item in (items["theia-n3a-bouconne-20180429"], items["simulation-s2-l2a-20210704"]):
        for asset in item.assets.values():
            with rasterio.open(catalogue / asset.href) as source:
                structure = source.tags(ns="IMAGE_STRUCTURE")
                assert (structure["LAYOUT"], structure["COMPRESSION"], structure["PREDICTOR"]) == (
                    "COG",
                    "DEFLATE",
                    "2",
                )
                assert source.block_shapes == [(256, 256)]
                assert bool(source.overviews(1)) is (max(source.shape) > 256)


def test_documents_state_what_the_files_hold(whole):
    for item in _items(whole).values():
        for key, asset in item.assets.items():
            if asset.media_type == pystac.MediaType.PARQUET:
                _same_table(whole / asset.href, asset)
                continue
            (band,) = asset.extra_fields["bands"]
            with rasterio.open(whole / asset.href) as source:
                assert band["data_type"] == source.dtypes[0]
                np.testing.assert_equal(
                    float(band.get("nodata", "nan")), np.nan if source.nodata is None else source.nodata
                )
                assert band.get("raster:scale", 1.0) == source.scales[0]
                assert band.get("raster:offset", 0.0) == source.offsets[0]
                assert item.properties["proj:code"] == source.crs.to_string()
                assert item.properties["proj:shape"] == list(source.shape)
                assert item.properties["proj:transform"] == list(source.transform)[:6]
                assert item.properties["proj:bbox"] == list(source.bounds)
            assert band["name"] == key


def _same_table(path: Path, asset: pystac.Asset) -> None:
    table = pq.read_table(path)
    stated = asset.extra_fields["table:columns"]
    assert asset.extra_fields["table:row_count"] == table.num_rows
    assert [column["name"] for column in stated] == [name for name in table.schema.names if name != "bbox"]
    for column in stated:
        unit = (table.schema.field(column["name"]).metadata or {}).get(b"units", b"").decode()
        assert column.get("unit", "") == unit, (path.name, column)


def test_checksums_are_multihashes_of_the_files(catalogue, items):
    item = items["theia-n3a-bouconne-20180708"]
    for asset in item.assets.values():
        content = (catalogue / asset.href).read_bytes()
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        assert asset.extra_fields["file:size"] == len(content)


def test_items_are_stac_1_1_with_licence_providers_and_citation(whole, items):
    for item in _items(whole).values():
        document = item.to_dict()
        assert document["stac_version"] == "1.1.0"
        assert item.datetime is not None
        said = item.properties
        profile = find_profile(item.collection_id)
        assert said["license"] in {profile.licence, profile.licence_stated}, item.id
        assert said["providers"], item.id
        assert said["sci:citation"], item.id
    assert "Copernicus" in items["theia-n3a-bouconne-20180429"].properties["sci:citation"]


def test_common_names_are_those_of_the_extension(items):
    common = {
        asset.extra_fields["bands"][0].get("eo:common_name")
        for asset in items["theia-n3a-bouconne-20180429"].assets.values()
    }
    names = "blue green red rededge071 rededge075 rededge078 nir nir08 swir16 swir22"
    assert common == set(names.split())


def test_the_table_is_geoparquet_with_a_covering_box(catalogue):
    table = pq.read_table(catalogue / "items.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    for row in table.to_pylist():
        assert shapely.from_wkb(row["geometry"]).bounds == tuple(row["bbox"].values())


def test_everything_is_readable_by_all_whatever_the_umask(catalogue):
    for path in [catalogue, *catalogue.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_without_the_real_sample_the_simulated_collection_is_built_and_it_is_said(tmp_path, spoilt, shared_data):
    said: list[str] = []
    report = build_catalogue(
        tmp_path / "catalogue", lambda label, done, total: said.append(label), places=spoilt, holdings=TWO
    )
    assert report.items == {simulation.COLLECTION: 28}
    assert "has SHA-256" in report.left_out["theia-n3a"]
    assert said[0].startswith("theia-n3a is left out: ")
    assert {label.split(" ")[0] for label in said if " is left out: " in label} == set(report.left_out)
    assert build_catalogue(tmp_path / "catalogue", unseen, places=spoilt, holdings=TWO).built is False
    found = Places((shared_data,), tmp_path)
    assert build_catalogue(tmp_path / "catalogue", unseen, places=found, holdings=TWO).items["theia-n3a"] == 7


@pytest.fixture
def silent():
    """A port where nobody answers, as behind a network that drops what it does not let: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_where_the_world_is_out_of_reach_a_catalogue_waits_for_it_once(tmp_path, silent, monkeypatch):
    """An air-gapped lab's first start: each of 31 samples would else wait for as long."""
    monkeypatch.setattr("earthlab.samples.fetching._CONNECTS_WITHIN", 2.0)
    monkeypatch.setattr("earthlab.services.stac.archive.find_sample", lambda name: moved(find_sample(name), silent))
    said = []
    report = build_catalogue(
        tmp_path / "catalogue",
        lambda label, done, total: said.append(label),
        places=Places((), tmp_path / "cache"),
        holdings=Holdings(EXTRACTS[:8], CONSTRUCTED[:1]),
    )
    whys = [report.left_out[extract.collections[0]] for extract in EXTRACTS[:8]]
    assert "(ConnectTimeout)" in whys[0]
    assert all(f"{silent} was out of reach a moment ago and not asked again" in why for why in whys[1:])
    assert len([label for label in said if " is left out: " in label]) == len(report.left_out)
    assert report.items == {simulation.COLLECTION: 28}


def moved(sample, host):
    def files(origin):
        return tuple(replace(each, url=f"http://{host}/{each.path}") for each in origin.files)

    return replace(sample, origins=tuple(replace(origin, files=files(origin)) for origin in sample.origins))


def test_progress_counts_every_item(built):
    total = sum(read_report(built.folder).items.values())
    assert [step[1:] for step in built.steps] == [(done, total) for done in range(1, total + 1)]


def test_a_complete_catalogue_of_this_version_is_left_alone(catalogue, spoilt):
    inode = (catalogue / "items.parquet").stat().st_ino
    report = build_catalogue(catalogue, unseen, places=spoilt, holdings=TWO)
    assert report.built is False
    assert report.items == {"theia-n3a": 7, "simulation-s2-l2a": 28}
    assert (catalogue / "items.parquet").stat().st_ino == inode


def test_another_version_is_replaced_and_of_two_builds_at_once_one_does_it(tmp_path, spoilt):
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "stale").touch()
    (folder / "COMPLETE").write_text('{"version": "old", "items": {}, "left_out": {}}')
    reports: list[CatalogueReport] = []
    threads = [
        threading.Thread(target=lambda: reports.append(build_catalogue(folder, unseen, places=spoilt, holdings=TWO)))
        for _ in "12"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.built for report in reports) == [False, True]
    assert not (folder / "stale").exists()
    assert _siblings(tmp_path) == {"catalogue", ".catalogue.lock"}


@pytest.mark.lab
def test_a_build_that_is_killed_leaves_no_catalogue_and_the_next_one_heals(tmp_path, shared_data):
    code = _TWO + "build_catalogue(Path(sys.argv[1]), lambda label, done, total: print(done, flush=True), holdings=two)"
    folder = tmp_path / "catalogue"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline().strip() != "10":
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not folder.exists()
    assert any(name.startswith(".catalogue.building-") for name in _siblings(tmp_path))
    assert build_catalogue(folder, unseen, holdings=TWO).built is True
    assert _siblings(tmp_path) == {"catalogue", ".catalogue.lock"}


def test_an_unwritable_place_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cannot be built in .*file/catalogue.*lab\.state") as caught:
        build_catalogue(tmp_path / "file" / "catalogue", unseen)
    assert "\n" not in str(caught.value)


@pytest.mark.lab
def test_a_disk_that_takes_no_more_is_refused_in_one_line_and_nothing_is_left(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from earthlab.errors import SetupError\n"
        "from earthlab.services.stac.archive import build_catalogue\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: build_catalogue(Path(sys.argv[1]), lambda *step: None)\n"
        "except SetupError as refusal: print(refusal)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "catalogue")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.startswith(f"The catalogue cannot be built in {tmp_path / 'catalogue'}: ")
    assert "Free some disk" in ended.stdout
    assert (ended.stdout.count("\n"), ended.stderr) == (1, "")
    assert _siblings(tmp_path) == {".catalogue.lock"}


def test_a_stack_with_other_bands_is_refused(tmp_path):
    path = tmp_path / "stack.tif"
    with rasterio.open(path, "w", driver="GTiff", width=1, height=1, count=2, dtype="int16", crs="EPSG:32631",
                       transform=rasterio.Affine(10, 0, 0, 0, -10, 0)) as target:  # fmt: skip
        target.write(np.ones((2, 1, 1), np.int16))
    with pytest.raises(SetupError, match="has 2 bands, expected 70"):
        list(theia.read_shots(path))


def _siblings(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
