"""Ingestion as the operator meets it: files in, items found at once; refusals reported; killed, and asked for again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import rustac

from earthlab.cli import main
from earthlab.errors import BadRequest, SetupError
from earthlab.services.stac import archive, ingest
from earthlab.services.stac.folder import alone
from earthlab.services.stac.geoparquet import find_parts, write_items
from earthlab.services.stac.ingest import find_reserved, ingest_files, open_work
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.store import Store
from earthlab.testing.providers import collection, item
from earthlab.testing.stac import serve_catalogue
from tests.patience import PATIENCE
from tests.services.stac.conftest import unseen
from tests.services.stac.made import MADE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _make_catalogue(tmp_path / "lab" / "catalogue")


def _make_catalogue(folder: Path) -> Path:
    folder.mkdir(parents=True)
    write_items(folder / "items.parquet", [])
    (folder / "collections.json").write_text("[]")
    (folder / "COMPLETE").write_text(json.dumps({"version": "test", "items": {"own": 0}, "left_out": {}}))
    return folder


def _lines(path: Path, documents) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path


def _found(store: Store, **said) -> list[str]:
    return sorted(found["id"] for found in store.find(parse_search({"limit": 1000, **said})).items)


def _refusals(report) -> list[tuple[str, str | None, str]]:
    lines = report.refusals.read_text(encoding="utf-8").splitlines()
    return [(said["where"], said["id"], said["reason"]) for said in map(json.loads, lines)]


def test_items_of_every_kind_of_file_are_found_at_once_by_a_store_that_was_open(folder, tmp_path):
    store = Store(folder)
    assert _found(store) == []
    lines = _lines(tmp_path / "a.ndjson", MADE[:50])
    features, alone_file = tmp_path / "b.json", tmp_path / "c.json"
    features.write_text(json.dumps({"type": "FeatureCollection", "features": MADE[50:90]}))
    alone_file.write_text(json.dumps(MADE[90]))
    table = tmp_path / "d.parquet"

    async def write() -> None:
        await rustac.write(str(table), MADE[91:])

    asyncio.run(write())
    report = ingest_files(folder, [lines, features, alone_file, table], unseen, workers=2)
    assert (report.stored, report.replaced, report.repeated, report.refused) == (len(MADE), 0, 0, 0)
    assert report.refusals is None
    assert _found(store) == sorted(document["id"] for document in MADE)
    [first] = store.find(parse_search({"ids": ["item-003"]})).items
    assert first["properties"] == MADE[3]["properties"]


def test_bad_documents_are_left_out_one_by_one_each_with_its_reason(folder, tmp_path):
    bad_ring = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}
    documents = [
        item("good"),
        item("mine", collection="own"),
        item("late", properties={"datetime": "soon"}),
        item("flat", geometry=bad_ring),
        item("also good"),
        [1],
    ]
    path = _lines(tmp_path / "a.ndjson", documents)
    path.write_text(path.read_text() + "{nonsense\n")
    report = ingest_files(folder, [path], unseen)
    assert (report.stored, report.refused) == (2, 5)
    assert _found(Store(folder)) == ["also good", "good"]
    told = {name: reason for _, name, reason in _refusals(report)}
    assert told["mine"] == "collection 'own' is the lab's own: give the collection another id"
    assert told["late"].startswith("datetime is 'soon'")
    assert told["flat"] == "geometry is not GeoJSON"
    assert all(where.startswith("a.ndjson, line at byte ") for where, _, _ in _refusals(report))


def test_the_same_collection_and_id_is_replaced_and_another_collection_is_not(folder, tmp_path):
    first = [item("a"), item("a", collection="other"), item("b")]
    ingest_files(folder, [_lines(tmp_path / "a.ndjson", first)], unseen)
    again = [item("a", properties={"datetime": "2020-01-01T00:00:00Z"}), item("c"), item("c", links=[])]
    report = ingest_files(folder, [_lines(tmp_path / "b.ndjson", again)], unseen)
    assert (report.stored, report.replaced, report.repeated) == (2, 1, 1)
    store = Store(folder)
    assert _found(store, collections=["essai"]) == ["a", "b", "c"]
    found = store.find(parse_search({"ids": ["a"]})).items
    assert {one["collection"]: one["properties"]["datetime"] for one in found} == {
        "essai": "2020-01-01T00:00:00Z", "other": "2018-07-08T10:50:00Z",
    }  # fmt: skip


def test_collections_come_with_their_documents_or_get_one_and_reach_as_far_as_their_items(folder, tmp_path):
    documents = [
        collection("essai") | {"title": "An essay", "extent": None},
        item("a"),
        item("b", bbox=[-5, 40, -4, 41], geometry={"type": "Point", "coordinates": [-5, 40]}),
        item("c", collection="a/b", properties={"datetime": "2020-01-01T00:00:00Z"}),
    ]
    ingest_files(folder, [_lines(tmp_path / "a.ndjson", documents)], unseen)
    known = Store(folder).collections()
    assert known["essai"]["title"] == "An essay"
    assert known["essai"]["license"] == "CC0-1.0"
    assert known["essai"]["extent"]["spatial"]["bbox"] == [[-5, 40, 2, 44]]
    assert known["a/b"]["license"] == "other"
    assert known["a/b"]["extent"]["temporal"]["interval"] == [["2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]]
    later = item("d", collection="a/b", properties={"datetime": "2024-01-01T00:00:00Z"})
    ingest_files(folder, [_lines(tmp_path / "b.ndjson", [later])], unseen)
    assert Store(folder).collections()["a/b"]["extent"]["temporal"]["interval"] == [
        ["2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z"]
    ]


def test_the_running_service_has_what_was_ingested_at_once_and_through_a_rebuild(catalogue, tmp_path, monkeypatch):
    folder = tmp_path / "catalogue"
    subprocess.run(["cp", "-a", str(catalogue), str(folder)], check=True)
    with serve_catalogue(folder) as served:
        search = {"url": f"{served.url}search", "headers": served.headers, "json": {"collections": ["essai"]}}
        assert httpx.post(**search).json()["numberMatched"] == 0
        ingest_files(folder, [_lines(tmp_path / "a.ndjson", [item("a"), item("b")])], unseen)
        assert httpx.post(**search).json()["numberMatched"] == 2
        assert httpx.get(f"{served.url}collections/essai", headers=served.headers).status_code == 200
        [part] = find_parts(folder)
        monkeypatch.setattr(archive, "catalogue_version", lambda holdings: "another")
        monkeypatch.setattr(archive, "_find_sources", lambda places, holdings: ([], {"own": "not here"}))
        assert archive.build_catalogue(folder, unseen).built
        assert [path.stat().st_ino for path in find_parts(folder)] == [part.stat().st_ino]
        assert httpx.post(**search).json()["numberMatched"] == 2
    assert "essai" in Store(folder).collections()


def test_a_catalogue_that_a_killed_build_moved_away_comes_back_with_what_was_ingested(folder, tmp_path, monkeypatch):
    ingest_files(folder, [_lines(tmp_path / "a.ndjson", [item("a")])], unseen)
    aside = folder.parent / ".catalogue.building-abc"
    aside.mkdir()
    folder.rename(aside / "catalogue")
    monkeypatch.setattr(archive, "_find_sources", lambda places, holdings: ([], {}))
    archive.build_catalogue(folder, unseen)
    assert _found(Store(folder)) == ["a"]
    assert not aside.exists()


_SLOW = """
import sys, time
from pathlib import Path
from earthlab.services.stac import ingest, staging

def told(step, done, total):
    print(step, done, flush=True)
    if step == "merged" or done == total:
        time.sleep(0.2)

if __name__ == "__main__":
    ingest.ingest_files(Path(sys.argv[1]), [Path(sys.argv[2])], told, workers=1)
"""


def test_a_killed_ingestion_is_not_seen_and_goes_on_where_it_was_when_asked_again(folder, tmp_path):
    path = _lines(tmp_path / "many.ndjson", (item(f"a{at}", assets=_weight()) for at in range(6000)))
    script = tmp_path / "slow.py"
    script.write_text(_SLOW)
    store = Store(folder)
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as running:
        for line in running.stdout:
            if line.startswith("read ") and not line.endswith(" 0\n"):
                break
        running.send_signal(signal.SIGKILL)
    [desk] = (folder.parent / ".catalogue.ingest").iterdir()
    kept = {one: one.stat().st_mtime_ns for one in desk.glob("*.arrow")}
    assert kept
    assert _found(store) == []
    steps: list[tuple[str, int, int]] = []
    report = ingest_files(folder, [path], lambda *step: steps.append(step))
    assert report.stored == 6000
    assert steps[0][0] == "read (bytes)"
    assert steps[0][1] > 0, "what was read before is read again"
    assert store.find(parse_search({})).matched == 6000
    assert not desk.exists()


def _weight() -> dict:
    return {"B4": {"href": "https://x.example/b4.tif", "title": "é" * 3000}}


def test_the_same_ingestion_twice_at_once_is_refused(folder):
    with (
        open_work(folder, "a source"),
        pytest.raises(SetupError, match="being ingested by another process"),
        open_work(folder, "a source"),
    ):
        pass


def test_a_merge_waits_for_whoever_builds(folder, tmp_path):
    path = _lines(tmp_path / "a.ndjson", [item("a")])
    command = [sys.executable, "-m", "earthlab.cli", "catalog", "ingest", str(path), "--state", str(folder.parent)]
    with alone(folder):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        desk = folder.parent / ".catalogue.ingest"
        while not list(desk.glob("*/*.arrow")):
            assert running.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        assert find_parts(folder) == ()
    assert running.wait(PATIENCE) == 0
    assert _found(Store(folder)) == ["a"]


def test_a_folder_without_a_catalogue_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(SetupError, match=r"no complete catalogue .* Run: earthlab catalogue build"):
        ingest_files(tmp_path, [_lines(tmp_path / "a.ndjson", [])], unseen)


def test_a_disk_that_cannot_be_written_is_refused_and_says_that_what_was_read_is_kept(folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ingest, "_forget_others", full)
    with pytest.raises(SetupError, match=r"No space left on device.* what was read is kept"), open_work(folder, "a"):
        pass


def test_what_nobody_asked_for_again_in_a_week_is_forgotten(folder):
    with pytest.raises(RuntimeError), open_work(folder, "interrupted"):
        raise RuntimeError
    [left] = (folder.parent / ".catalogue.ingest").iterdir()
    os.utime(left, (time.time() - 8 * 86_400,) * 2)
    with open_work(folder, "another"):
        assert not left.exists()


def test_the_labs_own_collections_are_reserved_also_those_that_could_not_be_built(folder):
    (folder / "COMPLETE").write_text(json.dumps({"version": "x", "items": {"a": 1}, "left_out": {"b": "no sample"}}))
    assert find_reserved(folder) == {"a", "b", "earthlab-cubes"}


@pytest.mark.parametrize("spelt", ["catalog", "catalogue"])
def test_the_command_ingests_and_says_what_came_in_and_what_was_left_out(folder, tmp_path, capsys, spelt):
    path = _lines(tmp_path / "a.ndjson", [item("a"), item("b"), item("")])
    assert main([spelt, "ingest", str(path), "--state", str(folder.parent)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(
        "2 items came in, 0 of the catalogue made way for them; 0 documents came again later, 1 "
    )
    assert ".catalogue.ingest/refused/" in said.out
    assert "merged 2/2" in said.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing.ndjson"], "there is no nothing.ndjson"),
        (["nothing", "neither"], "there is no nothing"),
        (["nothing"], "found 'nothing', expected the id of an endpoint"),
        (["ftp://x.example/"], "ftp://x.example/"),
    ],
)
def test_a_source_that_is_none_is_refused_by_name(folder, capsys, arguments, reason):
    assert main(["catalog", "ingest", *arguments, "--state", str(folder.parent)]) == 2
    assert reason in capsys.readouterr().err


def test_a_file_of_no_known_kind_is_refused(folder, tmp_path):
    (tmp_path / "a.csv").touch()
    with pytest.raises(BadRequest, match="of no known kind"):
        ingest_files(folder, [tmp_path / "a.csv"], unseen)
