"""EarthLab: STAC collections of every pole as datacubes, computed on a shared Dask Gateway.

The verbs below are all a notebook needs; each is loaded at its first use, so that ``import earthlab`` stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earthlab import samples as samples
    from earthlab.catalog import catalogs as catalogs
    from earthlab.catalog import cite as cite
    from earthlab.catalog import collections as collections
    from earthlab.catalog import search as search
    from earthlab.compute import cluster as cluster
    from earthlab.cube import open as open  # noqa: A004
    from earthlab.cube import plan as plan
    from earthlab.cube.tables import table as table
    from earthlab.view import show as show

__version__ = "0.1.0"

_HOMES = {
    "catalogs": "earthlab.catalog",
    "collections": "earthlab.catalog",
    "search": "earthlab.catalog",
    "plan": "earthlab.cube",
    "open": "earthlab.cube",
    "table": "earthlab.cube.tables",
    "cluster": "earthlab.compute",
    "show": "earthlab.view",
    "cite": "earthlab.catalog",
}


def __getattr__(name: str) -> Any:
    if name == "samples":
        return importlib.import_module("earthlab.samples")
    if name not in _HOMES:
        raise AttributeError(f"module 'earthlab' has no attribute {name!r}; it has samples, {', '.join(_HOMES)}")
    if name == "open":
        importlib.import_module("earthlab.accessor")  # registers cube.earthlab
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "samples"})
