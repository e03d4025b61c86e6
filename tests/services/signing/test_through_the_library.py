"""From a worker's token to the pixels: the real broker over HTTP, and the library's own signer in another process."""

import json
import logging
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import uvicorn

from earthlab.testing.hub_api import Token
from earthlab.testing.rasters import scene_items, write_scene
from tests.services.signing.conftest import LICENCE, MAY_USE

READ = """
import json, os, sys
from earthlab.catalog.signing import make_signer
from earthlab.errors import EarthlabError
from earthlab.testing.signing import read_signed

broker, host, *hrefs = sys.argv[1:]
signer = make_signer("broker", url=broker, hosts=[host])
said = []
for href in hrefs:
    try:
        said.append(read_signed(signer.sign(href)).decode())
    except EarthlabError as exc:
        said.append(f"{type(exc).__name__}: {exc}")
print(json.dumps({"said": said, "environment": dict(os.environ), "signer": repr(signer)}))
"""


@pytest.fixture
def served(broker):
    server = uvicorn.Server(uvicorn.Config(broker.app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/services/signing"
    server.should_exit = True
    thread.join()


def read_as_worker(broker, served, token, *names):
    """What a process reads that has a worker's token and nothing else."""
    path = broker.folder / "token"
    path.write_text(token)
    path.chmod(0o600)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(broker.folder),
        "EARTHLAB_HUB_TOKEN_FILE": str(path),
    }
    hrefs = [broker.upstream.href(name) for name in names]
    done = subprocess.run(
        [sys.executable, "-c", READ, served, hrefs[0].split("/")[2], *hrefs],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), done.stdout + done.stderr


def test_a_worker_reads_what_its_user_may_and_is_told_why_not_otherwise(broker, served):
    broker.hub.tokens["worker"] = Token("ana", scopes=(MAY_USE, LICENCE), expires=time.time() + 60)
    told, everything = read_as_worker(broker, served, "worker", "open/a.tif", "licensed/b.tif")
    assert told["said"] == ["pixels", "pixels"]
    assert "planted" not in everything

    broker.hub.members["ana"] = ()
    told, everything = read_as_worker(broker, served, "worker", "open/a.tif", "licensed/b.tif")
    assert told["said"][0] == "pixels"
    assert told["said"][1].startswith("NotAllowed: ")
    assert "Sign the charter." in told["said"][1]
    assert "planted" not in everything


def test_a_workers_token_that_has_expired_opens_nothing(broker, served):
    broker.hub.tokens["worker"] = Token("ana", scopes=(MAY_USE, LICENCE), expires=time.time() - 1)
    told, _ = read_as_worker(broker, served, "worker", "open/a.tif")
    assert told["said"][0].startswith("NotAllowed: ")


KERNEL = """
import json, logging, os, pickle, sys, traceback, warnings
from pathlib import Path

logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
import cloudpickle
import earthlab as el
from earthlab.catalog import ItemSet
from earthlab.catalog.signing import configured_signers
from earthlab.errors import EarthlabError

mine, others = (ItemSet.from_json(Path(name).read_text()) for name in sys.argv[1:])
cube = el.open(mine, strict=True)
print("sum", int(cube.red.compute(scheduler="threads").sum()))
signers = configured_signers()
for thing in (cube, cube.attrs, cube._repr_html_(), dict(os.environ), signers, list(map(vars, signers))):
    print(thing)
for packed in (pickle.dumps(cube.__dask_graph__()), cloudpickle.dumps(cube), cube.earthlab.plan.to_json().encode()):
    print(packed.decode("latin-1"))
try:
    el.open(others, strict=True).red.compute(scheduler="sync")
except EarthlabError as exc:
    print(type(exc).__name__, exc)
    print("".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format()))
print("command", Path("/proc/self/cmdline").read_text())
"""

FACTORY = """
from earthlab.catalog.signing import make_signer

def make():
    return make_signer("broker", url={broker!r}, hosts=[{host!r}])
"""


def test_nothing_that_a_kernel_says_sends_or_holds_shows_a_key_a_token_or_a_signature(broker, served, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    values = np.ones((16, 16), "uint16")
    hrefs = [broker.upstream.href(f"{place}/a-red.tif") for place in ("open", "licensed")]
    for name, href in zip(("open", "licensed"), hrefs, strict=True):
        document = write_scene(tmp_path / "data" / name, "a", {"red": values})
        document["assets"]["red"]["href"] = href
        (tmp_path / f"{name}.json").write_text(scene_items([document]).to_json())
    (tmp_path / "planted_factory.py").write_text(FACTORY.format(broker=served, host=hrefs[0].split("/")[2]))
    (tmp_path / "token").write_text("planted-hub-token")
    (tmp_path / "token").chmod(0o600)
    broker.hub.tokens["planted-hub-token"] = Token("bob", scopes=(MAY_USE,))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "EARTHLAB__CATALOGUE__SIGNERS": "planted_factory:make",
        "EARTHLAB_HUB_TOKEN_FILE": str(tmp_path / "token"),
    }
    names = [str(tmp_path / f"{name}.json") for name in ("open", "licensed")]
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, *names], env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert "sum 256" in said
    assert "NotAllowed" in said
    assert "Signez la charte." in said
    everything = [*said.splitlines(), *caplog.text.splitlines(), *broker.book.splitlines()]
    secrets = ("planted-access", "planted-secret", "planted-hub-token", "Signature=")
    assert [line[:300] for line in everything for secret in secrets if secret in line] == []
    assert {json.loads(line)["outcome"] for line in broker.book.splitlines()} == {"signed", "refused"}
