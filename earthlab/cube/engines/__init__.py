"""The peers as engines: stackstac and odc-stac read a plan's sources, and give our cube.

They are a choice for whoever trusts one of them, and an oracle for the tests. Planning, masks and attributes are ours;
finding pixels, resampling and the dask graph are theirs.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

import xarray as xr

from earthlab.cube.plan import CubePlan
from earthlab.errors import BadRequest, SetupError, did_you_mean

__all__ = ["ENGINES", "open_with"]

ENGINES: Mapping[str, tuple[str, str]] = {
    "odc": ("earthlab.cube.engines.odc", "odc-stac"),
    "stackstac": ("earthlab.cube.engines.stackstac", "stackstac"),
}


def open_with(engine: str, plan: CubePlan) -> xr.Dataset:
    """The cube of a plan as a peer reads it, with the variables, coordinates, units and attributes of `earthlab.open`.

    Lazy. A read that fails stops the computation with the peer's own error: peers keep no ledger of faults.

    Parameters
    ----------
    engine : {"odc", "stackstac"}
        Which peer.
    plan : CubePlan
        Of GeoTIFF or other raster sources; what else a peer cannot do is said by `open_odc` and `open_stackstac`.

    Raises
    ------
    BadRequest
        For an unknown engine, or a plan that the peer cannot read; the message says why.
    SetupError
        Where the peer is not installed.
    """
    if engine not in ENGINES:
        raise BadRequest(f"engine: found {engine!r}. {did_you_mean(engine, ['earthlab', *ENGINES])}")
    module, package = ENGINES[engine]
    try:
        found = import_module(module)
    except ImportError as exc:
        raise SetupError(
            f'engine={engine!r} needs {package}, which is not installed here ({exc}). Install "earthlab[peers]", or '
            "leave engine= out."
        ) from exc
    opened = cast("Callable[[CubePlan], xr.Dataset]", found.open_with)
    return opened(plan)
