"""What a kernel and the workers must have in common to understand each other's tasks."""

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version

from earthlab.errors import ComputeUnavailable

SHARED = ("dask", "distributed", "cloudpickle", "numpy", "xarray", "rasterio", "earthlab")
"""Packages whose objects travel between a kernel and its workers."""
BUILD = "earthlab build"
_MUST = ("python", "dask", "distributed", "cloudpickle")


class Mismatch(ComputeUnavailable):
    """A kernel and the workers cannot understand each other."""


def here() -> dict[str, str]:
    """The versions in this environment of all that travels; absent packages are left out. Imports nothing.

    Of `earthlab` also which build it is: two of one version need not be alike.
    """
    found = {n: v for n in SHARED if (v := _version(n))}
    build = {BUILD: _build()} if _build() else {}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **found, **build}


@cache
def _build() -> str:
    """Twelve digits of all installed modules of ours, as the wheel lists them by digest; empty where no wheel does."""
    try:
        listed = distribution("earthlab").read_text("RECORD") or ""
    except PackageNotFoundError:
        return ""
    ours = sorted(line for line in listed.splitlines() if line.startswith("earthlab/") and ".py," in line)
    return hashlib.sha256("\n".join(ours).encode()).hexdigest()[:12] if ours else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Each package that differs, as ``{"numpy": "2.1.0 here, 2.4.0 on the workers"}``."""
    names = [n for n in ("python", *SHARED, BUILD) if mine.get(n) != theirs.get(n)]
    return {n: f"{mine.get(n, 'none')} here, {theirs.get(n, 'none')} on the workers" for n in names}


def is_fatal(found: Mapping[str, str]) -> bool:
    """Whether tasks cannot be understood at all across these differences: Python, dask or the pickles differ."""
    return any(name in found for name in _MUST)
