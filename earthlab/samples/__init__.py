"""Real open data in small pieces, each with its origin, checksum, licence and citation; and simulated scenes."""

from pathlib import Path

import pandas as pd

from earthlab.samples.fetching import fetch_sample, find_file, resolve_places
from earthlab.samples.registry import Sample, find_sample, read_registry

__all__ = ["Sample", "about", "catalog", "cite", "fetch"]


def fetch(name: str, file: str | None = None) -> Path:
    """The folder of a sample on this machine, every file of it checked by SHA-256.

    Looked for in the folder named by ``EARTHLAB_SAMPLES``, in ``../shared/data`` beside a checkout, and in the user's
    cache; what is in none of them is downloaded from upstream, at a pinned commit, into the cache.

    Parameters
    ----------
    name : str
        As in `catalog`: ``"theia_n3a"``.
    file : str, optional
        One file of it, as `about` names them: its path is given in place of the folder's.

    Returns
    -------
    Path
        Always the folder, also where the sample has one file only, unless ``file`` is given.

    Raises
    ------
    BadRequest
        For an unknown name or file; the message offers the nearest.
    SetupError
        Where a file has the wrong checksum, or is nowhere local and upstream cannot be reached.
    """
    sample = find_sample(name)
    wanted = find_file(sample, file) if file is not None else None
    folder = fetch_sample(sample, resolve_places())
    return folder / wanted.path if wanted else folder


def catalog() -> pd.DataFrame:
    """A table of all samples: title (French and English), licence, files, bytes, citation; nothing is downloaded."""
    rows = [
        {
            "name": s.name,
            "titre": s.title_fr,
            "title": s.title_en,
            "licence": s.licence,
            "files": len(s.files),
            "bytes": s.bytes,
            "citation": s.citation,
        }
        for s in read_registry().values()
    ]
    return pd.DataFrame(rows)


def cite(name: str) -> str:
    """How to cite a sample, and under which licence it is used.

    Raises
    ------
    BadRequest
        For an unknown name; the message offers the nearest.
    """
    sample = find_sample(name)
    return f"{sample.citation} Licence : {sample.licence}."


def about(name: str) -> Sample:
    """What a sample is: titles, citation, and for each origin the licence, the files and the figure they reproduce.

    Raises
    ------
    BadRequest
        For an unknown name; the message offers the nearest.
    """
    return find_sample(name)
