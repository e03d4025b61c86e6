"""Where samples are looked for, in which order, and what is refused."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
import rasterio

from earthlab import samples
from earthlab.errors import BadRequest, SetupError
from earthlab.samples.fetching import Places, fetch_sample, find_folder, resolve_places
from earthlab.samples.registry import Origin, Sample, SampleFile

CONTENT = b"altitude;12\n"


def _sample(url: str, content: bytes = CONTENT) -> Sample:
    file = SampleFile("carte/relief.csv", url, hashlib.sha256(content).hexdigest(), len(content))
    return Sample("relief", "Relief", "Relief", "Quelqu'un.", (Origin("CC0-1.0", "heights", "", (file,)),))


def _put(root: Path, content: bytes = CONTENT) -> Path:
    path = root / "relief" / "carte" / "relief.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return root


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        return


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "upstream"
    folder.mkdir()
    (folder / "relief.csv").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/relief.csv"
    server.shutdown()
    server.server_close()
    thread.join()


NOWHERE = "http://127.0.0.1:9/relief.csv"


def test_the_first_folder_that_has_all_files_is_taken(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    places = Places((tmp_path / "empty", _put(tmp_path / "one"), _put(tmp_path / "two")), tmp_path / "cache")
    assert fetch_sample(_sample(NOWHERE), places) == tmp_path / "one" / "relief"


def test_the_cache_is_looked_at_before_upstream(tmp_path: Path):
    places = Places((), _put(tmp_path / "cache"))
    assert fetch_sample(_sample(NOWHERE), places) == tmp_path / "cache" / "relief"


def test_what_no_folder_has_comes_from_upstream_and_stays_in_the_cache(tmp_path: Path, upstream: str):
    places = Places((), tmp_path / "cache")
    folder = fetch_sample(_sample(upstream), places)
    assert (folder / "carte" / "relief.csv").read_bytes() == CONTENT
    assert fetch_sample(_sample(NOWHERE), places) == folder


def test_a_changed_local_file_is_refused_with_both_checksums(tmp_path: Path):
    places = Places((_put(tmp_path / "local", b"altitude;13\n"),), tmp_path / "cache")
    wrong, right = (hashlib.sha256(c).hexdigest()[:12] for c in (b"altitude;13\n", CONTENT))
    with pytest.raises(SetupError, match=f"{wrong}.*expected {right}.*fetch again"):
        fetch_sample(_sample(NOWHERE), places)


def test_a_file_that_changes_later_is_found_out(tmp_path: Path):
    places = Places((_put(tmp_path / "local"),), tmp_path / "cache")
    fetch_sample(_sample(NOWHERE), places)
    (tmp_path / "local" / "relief" / "carte" / "relief.csv").write_bytes(b"cut")
    with pytest.raises(SetupError, match="3 bytes"):
        fetch_sample(_sample(NOWHERE), places)


def test_upstream_with_other_bytes_is_refused_and_nothing_is_kept(tmp_path: Path, upstream: str):
    sample = _sample(upstream, b"something else")
    with pytest.raises(SetupError, match=r"gave a file with SHA-256 .*expected") as caught:
        fetch_sample(sample, Places((), tmp_path / "cache"))
    assert hashlib.sha256(CONTENT).hexdigest()[:12] in str(caught.value)
    assert find_folder(sample, Places((), tmp_path / "cache")) is None


def test_upstream_out_of_reach_says_where_to_put_the_file(tmp_path: Path):
    with pytest.raises(SetupError, match=r"could not be fetched.*EARTHLAB_SAMPLES.*relief/carte/relief\.csv"):
        fetch_sample(_sample(NOWHERE), Places((), tmp_path / "cache"))


def test_a_host_that_cannot_be_reached_is_asked_once_and_one_that_lacks_a_file_again(tmp_path: Path, upstream: str):
    away: set[str] = set()
    for said in (r"\(ConnectionError\)", "127.0.0.1:9 was out of reach a moment ago"):
        with pytest.raises(SetupError, match=said):
            fetch_sample(_sample(NOWHERE), Places((), tmp_path / "cache"), away)
    with pytest.raises(SetupError, match=r"\(HTTPError\)"):
        fetch_sample(_sample(upstream + ".gone"), Places((), tmp_path / "cache"), away)
    assert fetch_sample(_sample(upstream), Places((), tmp_path / "cache"), away).is_dir()


def test_a_missing_upstream_file_is_refused(tmp_path: Path, upstream: str):
    with pytest.raises(SetupError, match="could not be fetched"):
        fetch_sample(_sample(upstream + ".gone"), Places((), tmp_path / "cache"))


def test_the_order_is_the_variable_then_beside_the_checkout_then_the_cache(tmp_path: Path):
    checkout = tmp_path / "work" / "clone"
    (checkout / "earthlab" / "samples").mkdir(parents=True)
    (checkout / "earthlab" / "samples" / "registry.toml").touch()
    (checkout / "pyproject.toml").touch()
    (checkout / "notebooks").mkdir()
    beside = tmp_path / "work" / "shared" / "data"
    beside.mkdir(parents=True)
    named = tmp_path / "named"
    named.mkdir()
    places = resolve_places({"EARTHLAB_SAMPLES": str(named)}, checkout / "notebooks")
    assert places.folders[0] == named
    assert places.folders[-1] == beside
    assert places.cache == Path(pooch.os_cache("earthlab")) / "samples"


def test_a_variable_that_names_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(SetupError, match=r"EARTHLAB_SAMPLES names .*nowhere, which is not a folder"):
        resolve_places({"EARTHLAB_SAMPLES": str(tmp_path / "nowhere")}, tmp_path)


def test_fetch_gives_the_folder_also_of_a_single_file(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EARTHLAB_SAMPLES", str(shared_data))
    folder = samples.fetch("theia_n3a")
    assert folder.is_dir()
    with rasterio.open(samples.fetch("theia_n3a", "2018_3A_Theia_Bouconne.tif")) as stack:
        assert stack.count == 70
    assert (samples.fetch("insar_pyrate") / "small_test" / "tif").is_dir()


def test_an_unknown_file_gets_the_nearest_one(shared_data: Path):
    with pytest.raises(BadRequest, match=r"Nearest: 2018_3A_Theia_Bouconne\.tif"):
        samples.fetch("theia_n3a", "2018_3A_Theia_Bouconne.tiff")
