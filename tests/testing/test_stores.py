"""The store server: what HTTP says of ranges, the faults it was told to play, and a true count of what it sent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import httpx
import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from earthlab.errors import BadRequest, SetupError
from earthlab.testing.rasters import RasterFile, write_raster
from earthlab.testing.stores import KINDS, Faults, Sent, serve_files

CONTENT = bytes(range(256)) * 8


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "été 1.bin").write_bytes(CONTENT)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        (None, 200, 0, 2048),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=2040-9999", 206, 2040, 2048),
        ("bytes=2000-", 206, 2000, 2048),
        ("bytes=-5", 206, 2043, 2048),
        ("bytes=-9999", 206, 0, 2048),
        ("bytes=0-1,5-6", 200, 0, 2048),
        ("lines=1-2", 200, 0, 2048),
    ],
)
def test_ranges_are_answered_as_http_says(folder, asked, status, start, stop):
    with serve_files(folder) as store:
        answer = httpx.get(f"{store.url}in/été 1.bin?sig=x", headers={"Range": asked} if asked else {})
        assert store.requests() == [Sent("GET", "in/été 1.bin", start, stop, status, "", "sig=x")]
        assert store.ranges() == {("in/été 1.bin", start, stop): 1}
    assert answer.status_code == status
    assert answer.content == CONTENT[start:stop]
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/2048"


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=9-3", "bytes=-0"])
def test_a_range_outside_the_file_is_416_with_the_size(folder, asked):
    with serve_files(folder) as store:
        answer = httpx.get(f"{store.url}in/été 1.bin", headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */2048")


def test_head_tells_size_and_mark_and_a_changed_file_has_another_mark(folder):
    with serve_files(folder) as store, httpx.Client(base_url=store.url) as client:
        before = client.head("in/été 1.bin")
        assert (before.headers["content-length"], before.headers["accept-ranges"]) == ("2048", "bytes")
        (folder / "in" / "été 1.bin").write_bytes(CONTENT + b"!")
        mark = before.headers["etag"]
        after = client.get("in/été 1.bin", headers={"Range": "bytes=0-3", "If-Range": mark})
        assert (after.status_code, len(after.content)) == (200, 2049)
        assert after.headers["etag"] != mark


def test_what_is_not_a_file_of_the_folder_is_not_served(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("secret")
    (folder / "way.txt").symlink_to(outside)
    with serve_files(folder) as store, httpx.Client(base_url=store.url) as client:
        for path in ("none.bin", "in", "", "way.txt", "%2e%2e/" * 9 + "etc/passwd", "%00"):
            assert client.get(path).status_code == 404
        assert client.post("in/été 1.bin").status_code == 400


def test_one_connection_serves_many_requests(folder):
    with serve_files(folder) as store, httpx.Client(base_url=store.url) as client:
        answers = [client.get("in/été 1.bin") for _ in range(3)]
        assert len({id(answer.extensions["network_stream"]) for answer in answers}) == 1


def test_hundreds_of_requests_wait_side_by_side(folder):
    async def ask(url):
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as client:
            return await asyncio.gather(*(client.get("in/été 1.bin") for _ in range(200)))

    with serve_files(folder, latency=0.2) as store:
        answers = asyncio.run(ask(store.url))
        assert len(store.requests()) == 200
    assert {answer.content for answer in answers} == {CONTENT}
    assert min(answer.elapsed.total_seconds() for answer in answers) >= 0.2


def test_a_stalled_answer_holds_up_no_other(folder):
    (folder / "stuck.bin").write_bytes(CONTENT)
    fail = Faults(1.0, ("stalled",), paths=("stuck.bin",))
    with serve_files(folder, fail=fail) as store, httpx.Client(base_url=store.url) as client:
        with client.stream("GET", "stuck.bin") as stuck:
            first = next(stuck.iter_bytes(512))
            assert client.get("in/été 1.bin").content == CONTENT
        assert first == CONTENT[:512]


def test_large_files_arrive_whole(folder):
    content = np.random.default_rng(0).bytes(5_000_000)
    (folder / "large.bin").write_bytes(content)
    with serve_files(folder) as store, httpx.Client(base_url=store.url) as client:
        assert client.get("large.bin").content == content
        assert (
            client.get("large.bin", headers={"Range": "bytes=1000000-3999999"}).content == content[1_000_000:4_000_000]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_what_its_kind_says_and_mends_after_so_many_tries(folder, kind):
    fail = Faults(1.0, (kind,), times=2, stall=0.1)
    with serve_files(folder, fail=fail) as store, httpx.Client(base_url=store.url) as client:
        for _ in range(2):
            if kind.isdigit():
                assert client.get("in/été 1.bin").status_code == int(kind)
            else:
                with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
                    client.get("in/été 1.bin")
        assert client.get("in/été 1.bin").content == CONTENT
        assert [r.fault for r in store.requests()] == [kind, kind, ""]
        assert store.requests()[0][2:4] == (0, 2048)
        assert sum(store.ranges().values()) == 1
        store.behave()
        store.reset()
        assert client.get("in/été 1.bin").status_code == 200
        assert len(store.requests()) == 1


def test_the_same_seed_fails_the_same_ranges_in_any_order_and_about_the_share_of_them():
    spans = [("a.tif", at * 100, at * 100 + 100) for at in range(4000)]
    one, again, other = Faults(0.05), Faults(0.05), Faults(0.05, seed=1)
    bad = {span for span in spans if one.draw("GET", *span)}
    assert {span for span in reversed(spans) if again.draw("GET", *span)} == bad
    assert {span for span in spans if other.draw("GET", *span)} != bad
    assert 150 < len(bad) < 250
    assert {one.draw("GET", *span) for span in bad} == set(KINDS)


def test_faults_can_be_of_whole_files_of_some_files_and_beyond_the_header():
    whole = Faults(0.5, per="path")
    for name in map(str, range(20)):
        assert len({whole.draw("GET", name, at, at + 1) for at in range(10)}) == 1
    assert Faults(1.0, paths=("*.tif",)).draw("GET", "in/a.csv", 0, 1) is None
    assert Faults(1.0, paths=("*.tif",)).draw("GET", "in/a.tif", 0, 1) in KINDS
    assert Faults(1.0, beyond=100).draw("GET", "a", 0, 100) is None
    assert Faults(1.0, beyond=100).draw("GET", "a", 0, 101) in KINDS
    assert Faults(1.0).draw("HEAD", "a", 0, 1) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"share": 2}, "share: found 2"),
        ({"kinds": ("418",)}, "expected some of 404"),
        ({"per": "day"}, "per: found 'day'"),
    ],
)
def test_faults_that_cannot_be_are_refused(words, message):
    with pytest.raises(BadRequest, match=message):
        Faults(**words)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(BadRequest, match="is not a folder"), serve_files(tmp_path / "none"):
        pass


def test_gdal_reads_windows_through_it_and_asks_no_byte_twice(tmp_path):
    values = np.random.default_rng(0).integers(0, 9999, (1024, 1024)).astype("uint16")
    write_raster(tmp_path / "a.tif", RasterFile(values))
    with serve_files(tmp_path) as store, rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        with rasterio.open(f"/vsicurl/{store.url}a.tif") as source:
            np.testing.assert_array_equal(source.read(1, window=((100, 700), (300, 900))), values[100:700, 300:900])
        spans = sorted((start, stop) for _, start, stop in store.ranges())
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_gdal_sees_faults_as_failed_reads(tmp_path):
    write_raster(tmp_path / "a.tif", RasterFile(np.ones((1024, 1024), "uint16")))
    fail = Faults(1.0, ("404", "503"), beyond=50_000)
    with (
        serve_files(tmp_path, fail=fail) as store,
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", CPL_VSIL_CURL_NON_CACHED="/vsicurl/"),
        rasterio.open(f"/vsicurl/{store.url}a.tif") as source,
        pytest.raises(RasterioIOError),
    ):
        source.read(1)


def test_the_server_ends_with_its_block_and_then_says_so(folder):
    with serve_files(folder) as store:
        assert httpx.get(f"{store.url}in/été 1.bin").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(store.url)
    with pytest.raises(SetupError, match=r"has ended"):
        store.requests()


def test_a_killed_server_is_told_by_its_store(folder):
    with serve_files(folder) as store:
        os.kill(store.pid, signal.SIGKILL)
        with pytest.raises(SetupError, match=r"has ended"):
            store.requests()


def test_the_server_ends_with_a_killed_owner(folder):
    code = (
        "import sys; from earthlab.testing.stores import serve_files\n"
        "with serve_files(sys.argv[1]) as store: print(store.url, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, folder], stdin=pipe, stdout=pipe, text=True) as owner:
        url = owner.stdout.readline().strip()
        assert httpx.get(url).status_code == 404
        owner.kill()
    for _ in range(100):
        try:
            httpx.get(url)
        except httpx.ConnectError:
            return
        time.sleep(0.05)
    pytest.fail("The server outlived its owner by five seconds.")
