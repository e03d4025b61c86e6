"""Where a sample's files are found, and the proof by checksum that they are the right ones."""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from urllib3.exceptions import NewConnectionError

from earthlab.errors import BadRequest, SetupError, did_you_mean
from earthlab.samples.registry import Sample, SampleFile

VARIABLE = "EARTHLAB_SAMPLES"

_CONNECTS_WITHIN = 10.0
"""Seconds for each address of a host."""

_ANSWERS_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: folders that hold one folder a sample, in order, and the cache that downloads go to."""

    folders: tuple[Path, ...]
    cache: Path


def resolve_places(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Places:
    """The places of this process: ``EARTHLAB_SAMPLES``, ``../shared/data`` beside a checkout, the user's cache.

    Raises
    ------
    SetupError
        Where ``EARTHLAB_SAMPLES`` names something that is not a folder.
    """
    env = os.environ if environ is None else environ
    folders = [*_named_folder(env), *_beside_checkouts(cwd or Path.cwd())]
    return Places(tuple(dict.fromkeys(folders)), Path(pooch.os_cache("earthlab")) / "samples")


def fetch_sample(sample: Sample, places: Places, away: set[str] | None = None) -> Path:
    """The folder that holds every file of a sample, each checked by SHA-256.

    The first folder that has all the files is taken as it is; what none has is downloaded into the cache.

    Parameters
    ----------
    sample : Sample
        What is wanted.
    places : Places
        Where to look.
    away : set of str, optional
        Hosts that are not asked again; one to which no connection comes about is put in. For who fetches many.

    Raises
    ------
    SetupError
        Where a file has another checksum than the registry's, or upstream cannot be reached.
    """
    folder = find_folder(sample, places)
    if folder is None:
        return _download(sample, places.cache / sample.name, set() if away is None else away)
    for file in sample.files:
        check_file(sample, file, folder / file.path)
    return folder


def find_folder(sample: Sample, places: Places) -> Path | None:
    """The first local folder that has all files of a sample, unchecked; None where they would be downloaded."""
    folders = [root / sample.name for root in (*places.folders, places.cache)]
    return next((f for f in folders if all((f / file.path).is_file() for file in sample.files)), None)


def find_file(sample: Sample, path: str) -> SampleFile:
    """The file of this path, or of this bare name, in a sample.

    Raises
    ------
    BadRequest
        Where the sample has none such; the message offers the nearest.
    """
    known = {file.path: file for file in sample.files}
    if path not in known:
        raise BadRequest(f"samples: {sample.name} has no file {path!r}. {did_you_mean(path, known)}")
    return known[path]


def check_file(sample: Sample, file: SampleFile, path: Path) -> None:
    """Nothing, where the bytes at ``path`` are the registered ones; the verdict is kept while size and time stand.

    Raises
    ------
    SetupError
        Where they are not, or cannot be read.
    """
    try:
        stat = path.stat()
        found = _digest(path, stat.st_size, stat.st_mtime_ns)
    except OSError as exc:
        raise SetupError(
            f"{sample.name}: {path} cannot be read ({exc.strerror}). Mend its permissions, or remove it."
        ) from exc
    if found != file.sha256:
        raise SetupError(
            f"{sample.name}: {path} has SHA-256 {found[:12]}… ({stat.st_size} bytes), expected {file.sha256[:12]}… "
            f"({file.bytes} bytes). The file was changed or cut short: remove it and fetch again; "
            f"the right one is at {file.url}"
        )


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - size and time are the cache's key
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _named_folder(env: Mapping[str, str]) -> Iterator[Path]:
    named = env.get(VARIABLE)
    if not named:
        return
    if not Path(named).expanduser().is_dir():
        raise SetupError(f"{VARIABLE} names {named}, which is not a folder. Mend the path or unset the variable.")
    yield Path(named).expanduser().resolve()


def _beside_checkouts(cwd: Path) -> Iterator[Path]:
    for checkout in (Path(__file__).resolve().parents[2], cwd, *cwd.parents):
        folder = checkout.parent / "shared" / "data"
        if _is_checkout(checkout) and folder.is_dir():
            yield folder.resolve()


def _is_checkout(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "earthlab" / "samples" / "registry.toml").is_file()


def _download(sample: Sample, folder: Path, away: set[str]) -> Path:
    pooch.get_logger().setLevel(logging.WARNING)
    get = pooch.HTTPDownloader(timeout=(_CONNECTS_WITHIN, _ANSWERS_WITHIN))
    for file in sample.files:
        target, host = folder / file.path, urlsplit(file.url).netloc
        if host in away:
            raise _no_upstream(sample, file, folder, f"{host} was out of reach a moment ago and not asked again")
        try:
            pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=target.name, path=target.parent, downloader=get)
        except ValueError as exc:
            raise _wrong_upstream(sample, file, exc) from exc
        except (requests.RequestException, OSError) as exc:
            if _is_away(exc):
                away.add(host)
            raise _no_upstream(sample, file, folder, type(exc).__name__) from exc
    return folder


def _is_away(cause: Exception) -> bool:
    """Whether no connection came about, as the next one to that host would not."""
    if isinstance(cause, requests.exceptions.ProxyError | requests.exceptions.ConnectTimeout):
        return True
    return isinstance(getattr(cause.args[0] if cause.args else None, "reason", None), NewConnectionError)


def _wrong_upstream(sample: Sample, file: SampleFile, cause: ValueError) -> SetupError:
    found = re.search(r"\b[0-9a-f]{64}\b(?! *but)", str(cause).replace(file.sha256, ""))
    return SetupError(
        f"{sample.name}: {file.url} gave a file with SHA-256 {found.group()[:12] if found else 'unknown'}…, "
        f"expected {file.sha256[:12]}…. Nothing was kept: upstream, or something on the way, changed it. "
        f"Put the right file under a folder named by {VARIABLE}."
    )


def _no_upstream(sample: Sample, file: SampleFile, folder: Path, why: str) -> SetupError:
    return SetupError(
        f"{sample.name}: {file.path} is in no local folder, and {file.url} could not be fetched into {folder} "
        f"({why}). Connect to the network and try again, or set {VARIABLE} to a folder that holds "
        f"{sample.name}/{file.path}."
    )
