"""The whole catalogue of the lab for tests: built once for a checkout, and copied wherever a test wants one.

A build takes most of a minute of a core, a copy a tenth of a second. What is kept is built anew as soon as one of the
build's sources, a library or a sample is another than those it was built from.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import earthlab
from earthlab.samples.fetching import resolve_places
from earthlab.services.stac.folder import alone

ROOMS = ("analysis", "catalog", "cube", "samples", "services/stac", "*.py")
"""Where the sources stand from which a catalogue follows."""
_CATALOGUE = "catalogue"
_FINGERPRINT = "fingerprint"
_BUILD = """
import sys
from pathlib import Path
from earthlab.services.stac.archive import build_catalogue
build_catalogue(Path(sys.argv[1]), lambda *_: None)
"""

Build = Callable[[Path], None]
"""Builds the catalogue in the folder that it is given."""


def build_apart(folder: Path) -> None:
    """Build the catalogue in a process that takes the libraries' memory along when it ends."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _BUILD, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def bring_catalogue(config: pytest.Config, state: Path, *, build: Build = build_apart) -> None:
    """Give a lab that has its state in a folder the whole catalogue, from the one that all tests of a checkout share.

    That one is in the folder of pytest's cache; where none can be written, the lab gets a build of its own.

    Parameters
    ----------
    config : pytest.Config
        Of the running tests.
    state : Path
        Has no catalogue yet.
    build : callable
        What builds it where that has to be.
    """
    kept = _find_kept(config)
    if kept is None:
        build(state / _CATALOGUE)
    else:
        copy_catalogue(kept, state / _CATALOGUE, build=build)


def _find_kept(config: pytest.Config) -> Path | None:
    cache: pytest.Cache | None = getattr(config, "cache", None)
    try:
        return cache.mkdir("earthlab") / "kept" if cache else None
    except OSError:
        return None


def copy_catalogue(kept: Path, folder: Path, *, build: Build = build_apart) -> None:
    """Copy the catalogue that is kept to another place, with times and mode bits.

    It is built first where there is none of this program, these libraries and these samples. Processes that ask at the
    same time do so one after the other.

    Parameters
    ----------
    kept : Path
        Appears whole or not at all; replaced where it keeps another.
    folder : Path
        Is not there yet.
    build : callable
        What builds it where that has to be.
    """
    with alone(kept):
        if _read_fingerprint(kept) != (wanted := _fingerprint()):
            _renew(kept, wanted, build)
        shutil.copytree(kept / _CATALOGUE, folder, symlinks=True)


def _renew(kept: Path, fingerprint: str, build: Build) -> None:
    """Build aside and put it in place whole: what a process goes on building after ours was killed gets nowhere."""
    prefix = f".{kept.name}.building-"
    for leftover in (kept, *kept.parent.glob(f"{prefix}*")):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=kept.parent) as aside:
        work = Path(aside) / kept.name
        work.mkdir()
        build(work / _CATALOGUE)
        (work / _FINGERPRINT).write_text(fingerprint, encoding="ascii")
        work.rename(kept)


def _read_fingerprint(kept: Path) -> str:
    try:
        return (kept / _FINGERPRINT).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _fingerprint() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for part in (*_sources(), *_libraries(), *_samples()):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()


def _sources() -> Iterator[str]:
    root = Path(earthlab.__file__).parent
    found = (file for room in ROOMS for place in sorted(root.glob(room)) for file in _files(place))
    for path in found:
        if "__pycache__" not in path.parts:
            yield f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _libraries() -> Iterator[str]:
    """With their versions, which stand in the names of these folders."""
    return (path.name for path in sorted(Path(sysconfig.get_path("purelib")).glob("*.dist-info")))


def _samples() -> Iterator[str]:
    places = resolve_places()
    for root in (*places.folders, places.cache):
        for path in _files(root):
            facts = path.stat()
            yield f"{path} {facts.st_size} {facts.st_mtime_ns}"


def _files(place: Path) -> list[Path]:
    return sorted(path for path in (place, *place.rglob("*")) if path.is_file())
