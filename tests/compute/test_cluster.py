import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import dask
import dask.array as da
import distributed
import pytest

from earthlab.compute import cluster, progress
from earthlab.compute.cluster import _ask_environment, _new_cluster
from earthlab.compute.connection import Offer
from earthlab.compute.environment import Mismatch, here
from earthlab.compute.local import start_local
from earthlab.errors import BadRequest, ComputeUnavailable, FallbackWarning
from earthlab.notice import Notice
from earthlab.settings import ComputeSettings

NOWHERE = ComputeSettings()


@contextmanager
def answering(status, body):
    """A web server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ComputeSettings(gateway=f"http://127.0.0.1:{server.server_port}/services/dask-gateway/")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def offering(**told):
    return answering(200, json.dumps(told).encode())


@pytest.fixture(autouse=True)
def _signed_in(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "s3cret-token")


@pytest.fixture
def local():
    with pytest.warns(FallbackWarning, match="computing in this process, 2 threads"):
        found = cluster(workers=2, settings=NOWHERE)
    yield found
    found.close()


def test_outside_the_lab_threads_stand_in_and_say_so(local):
    assert local.is_local
    assert sum(local.client.nthreads().values()) == 2
    assert da.ones(1000, chunks=10).sum().compute() == 1000


def test_no_thread_of_a_local_cluster_lists_the_frames_of_all_others():
    """CPython before 3.11.5 can lock itself up by that, with all threads of the kernel: gh-106883."""
    with dask.config.set({"distributed.worker.profile.enabled": True}), start_local(1) as found:
        (worker,) = found.workers.values()
        assert not any("profile" in name for name in worker.periodic_callbacks)


def test_the_local_cluster_listens_nowhere(local):
    shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    assert f"pid={os.getpid()}," not in shown


def test_dask_computes_on_the_cluster_inside_the_block_and_not_after_it():
    before = dask.config.get("scheduler", None)
    with pytest.warns(FallbackWarning), cluster(settings=NOWHERE) as client:
        assert distributed.default_client() is client
    assert dask.config.get("scheduler", None) == before
    with pytest.raises(ValueError, match="No clients found"):
        distributed.default_client()


def test_a_closed_cluster_says_so_and_may_be_closed_again(local):
    local.close()
    local.close()
    local.stop()
    assert "closed" in repr(local)
    with pytest.raises(BadRequest, match="is closed"):
        local.scale(1)


def test_a_cluster_shows_what_it_has(local):
    assert repr(local) == "<earthlab.Cluster local: dans ce processus | in this process, 2 threads>"
    assert local._repr_html_().startswith("<b>Cluster local</b>")


def test_a_local_cluster_cannot_be_scaled(local):
    with pytest.raises(BadRequest, match="keeps its number of threads"):
        local.scale(3)


def test_there_is_nothing_to_join_outside_the_lab():
    with pytest.raises(ComputeUnavailable, match="no cluster 'mine' to join"):
        cluster("mine", settings=NOWHERE)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two", True])
def test_what_is_no_number_of_workers_is_refused(workers):
    with pytest.raises(BadRequest, match="whole number, 1 or more"):
        cluster(workers=workers, settings=NOWHERE)


def test_a_gateway_that_is_away_is_named():
    with pytest.raises(ComputeUnavailable, match=r"http://127\.0\.0\.1:1 does not answer") as caught:
        cluster(settings=ComputeSettings(gateway="http://127.0.0.1:1"))
    assert caught.value.__cause__ is not None


def test_without_a_token_nobody_is_asked(monkeypatch):
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN")
    with pytest.raises(ComputeUnavailable, match="JUPYTERHUB_API_TOKEN is not set"):
        cluster(settings=ComputeSettings(gateway="http://127.0.0.1:1"))


def test_an_address_that_is_not_of_the_web_is_refused():
    with pytest.raises(BadRequest, match="begins with http"):
        cluster(settings=ComputeSettings(gateway="file:///etc/passwd"))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"{}", "does not accept your token"),
        (503, b"busy", "answered 503"),
        (200, b"<html>", "does not answer as a Dask Gateway"),
    ],
)
def test_a_gateway_that_refuses_or_answers_nonsense_is_said_plainly(status, body, said):
    with answering(status, body) as settings, pytest.raises(ComputeUnavailable, match=said) as caught:
        cluster(settings=settings)
    assert "s3cret-token" not in str(caught.value)


def test_other_versions_that_cannot_understand_each_other_are_one_line():
    told = {**here(), "dask": "1.0"}
    with offering(environment=told) as settings, pytest.raises(ComputeUnavailable, match=r"1\.0 on the") as caught:
        cluster(settings=settings)
    assert "\n" not in str(caught.value)


class Foreign:
    """A gateway that says nothing of itself, and its clusters, whose schedulers say what they are told to."""

    def __init__(self, theirs):
        self.theirs, self.stopped, self.scaled = theirs, [], []

    def start(self, **_):
        return SimpleNamespace(name="0123456789abcdef")

    def connect(self, _):
        return SimpleNamespace(run_on_scheduler=self.run, close=lambda: None)

    def run(self, ask):
        assert ask is here
        if isinstance(self.theirs, Exception):
            raise self.theirs
        return self.theirs

    def scale(self, name, workers):
        self.scaled.append(workers)

    def stop(self, name):
        self.stopped.append(name)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({**here(), "distributed": "1.0"}, r"distributed .* here, 1\.0 on the workers"),
        (ModuleNotFoundError("No module named 'earthlab'"), r"does not understand this kernel \(ModuleNotFoundError\)"),
    ],
)
@pytest.mark.parametrize("workers", [2, None])
def test_on_a_gateway_that_tells_nothing_its_scheduler_is_asked_before_a_worker_starts(theirs, said, workers):
    gateway = Foreign(theirs)
    with Notice() as notice, pytest.raises(Mismatch, match=said):
        _new_cluster(gateway, Offer(), workers, ComputeSettings(), timeout=5, notice=notice)
    assert gateway.stopped
    assert not gateway.scaled


def test_a_scheduler_says_what_it_runs():
    with start_local(1) as found, distributed.Client(found) as client:
        assert _ask_environment(client) == here()


def test_no_cluster_is_started_where_no_worker_is_left():
    said = r'0 / 4 left.*4 workers: el\.cluster\("01234567"\)\.stop'
    offer = offering(free_workers=0, max_workers=4, clusters={"0123456789": 4})
    with offer as settings, pytest.raises(ComputeUnavailable, match=said):
        cluster(settings=settings)


def test_on_a_full_machine_threads_of_the_kernel_stand_in_and_say_so():
    with offering(free_workers=4, max_workers=4, room=0, cores=2) as settings:
        with pytest.warns(FallbackWarning, match="no room for another worker"):
            found = cluster(settings=settings)
        with found as client:
            assert found.is_local
            assert client.submit(lambda x: x + 1, 1).result() == 2


def test_on_a_full_machine_kernels_take_turns(tmp_path):
    (tmp_path / "0").touch(mode=0o444)
    with offering(free_workers=4, max_workers=4, room=0, cores=1) as settings:
        chosen = replace(settings, turns=str(tmp_path))
        with (
            pytest.warns(FallbackWarning, match="no room"),
            cluster(settings=chosen),
            (tmp_path / "0").open() as place,
            pytest.raises(BlockingIOError),
        ):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with (tmp_path / "0").open() as place:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_where_a_cluster_will_not_start_threads_stand_in_unless_workers_were_asked_for():
    with offering(free_workers=4, max_workers=4, room=4, cores=1) as settings:
        with (
            pytest.warns(FallbackWarning, match=r"computing in this kernel.*501"),
            cluster(settings=settings) as client,
        ):
            assert client.submit(lambda x: x + 1, 1).result() == 2
        with pytest.raises(ComputeUnavailable, match="501"):
            cluster(workers=1, settings=settings)


def test_who_shares_nothing_cannot_have_the_workshops_cluster():
    with offering(free_workers=4) as settings, pytest.raises(ComputeUnavailable, match="You share no cluster"):
        cluster(shared=True, settings=settings)
    with pytest.raises(ComputeUnavailable, match="You share no cluster"):
        cluster(shared=True, settings=NOWHERE)


def test_who_shares_several_clusters_is_told_to_name_one():
    with offering(shared={"atelier-b": "1f", "atelier-a": "2f"}) as settings:
        with pytest.raises(BadRequest, match=r'el\.cluster\("atelier-a"\)'):
            cluster(settings=settings)
        with pytest.raises(BadRequest, match=r'el\.cluster\("atelier-a"\)'):
            cluster(shared=True, settings=settings)


def test_a_shared_cluster_that_is_away_is_a_refusal_where_it_is_wanted_and_else_a_warning():
    with offering(shared={"atelier-a": ""}, free_workers=4, max_workers=4, room=0, cores=1) as settings:
        for words in ({"shared": True}, {"name": "atelier-a"}):
            with pytest.raises(ComputeUnavailable, match="atelier-a does not run"):
                cluster(**words, settings=settings)
        with pytest.warns(FallbackWarning) as told, cluster(settings=settings) as client:
            assert client.submit(lambda x: x + 1, 1).result() == 2
    said = [str(each.message) for each in told]
    assert "one of your own" in said[0]
    assert "atelier-a does not run" in said[0]
    assert "computing in this kernel" in said[1]


@pytest.mark.parametrize("words", [{"shared": False}, {"workers": 1}, {"workers": 1, "shared": False}])
def test_who_asks_for_their_own_is_not_led_to_the_shared_one(words):
    with offering(shared={"atelier-a": "2f"}, free_workers=4, max_workers=4, room=0, cores=1) as settings:
        with pytest.warns(FallbackWarning, match="computing in this kernel"):
            found = cluster(**words, settings=settings)
        assert found.is_local
        found.close()


@pytest.mark.parametrize("words", [{"workers": 2}, {"name": "atelier-a"}])
def test_a_shared_cluster_has_its_own_name_and_workers(words):
    with pytest.raises(BadRequest, match="Leave name and workers out"):
        cluster(**words, shared=True, settings=NOWHERE)


@pytest.mark.parametrize(
    ("offer", "workers"),
    [
        (Offer(), 2),
        (Offer(cores=8), 8),
        (Offer(cores=8, worker_cores=4), 2),
        (Offer(cores=8, free_workers=3), 3),
        (Offer(cores=1, worker_cores=2), 1),
        (Offer(cores=8, free_workers=0), 0),
        (Offer(cores=8, free_workers=3, room=2), 2),
        (Offer(cores=8, room=0), 0),
    ],
)
def test_the_usual_number_of_workers_is_within_cores_and_cap(offer, workers):
    assert offer.usual_workers() == workers


def test_progress_gives_back_the_object_held_on_the_cluster(local):
    held = progress(da.ones((100, 100), chunks=10) + 1)
    assert len(distributed.futures_of(held)) == 100
    assert held.sum().compute() == 20_000


def test_progress_is_shown_in_the_terminal_when_it_lasts(local, capsys):
    progress(da.ones(10, chunks=5), delay=0.0)
    assert "2/2 blocs" in capsys.readouterr().err


def test_progress_raises_the_fault_of_a_block(local):
    def fail(block):
        raise OSError("no such block")

    with pytest.raises(OSError, match="no such block"):
        progress(da.ones(10, chunks=5).map_blocks(fail, dtype=float))


def test_progress_without_a_cluster_computes_in_this_process_and_tells_how_long_it_will_take(capsys):
    held = progress(da.ones(40, chunks=1).map_blocks(slow, dtype=float), delay=0.0)
    told = capsys.readouterr().err
    assert "40/40 blocs" in told
    assert re.search(r" \d+/40 blocs \| blocks, ≈ \d+ s", told)
    assert held.sum().compute() == 40


def slow(block):
    time.sleep(0.005)
    return block


def test_progress_needs_something_lazy(local):
    with pytest.raises(BadRequest, match="found int"):
        progress(3)


def test_importing_the_room_does_not_import_distributed():
    asked = "import sys, earthlab.compute; print({'distributed', 'dask', 'dask_gateway'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_after_clusters_closed_in_any_order_dask_computes_as_before():
    with pytest.warns(FallbackWarning):
        first, second = cluster(workers=1), cluster(workers=1)
    first.close()
    second.close()
    assert int(da.ones(7, chunks=3).sum().compute()) == 7
