"""One reader a kind of file; each gives the values of sources on one tile of the grid."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from odc.geo.geobox import GeoBox

from earthlab.cube.plan import Source
from earthlab.cube.readers.window import Window
from earthlab.errors import BadRequest, did_you_mean

__all__ = ["Reader", "Window", "find_reader"]


class Reader(Protocol):
    """What every reader is; `earthlab.testing.readers` holds the suite each passes."""

    def __call__(
        self, sources: Sequence[Source], geobox: GeoBox, *, resampling: str, anchor: tuple[float, float]
    ) -> list[Window | None]:
        """The values of sources of one array on one tile.

        Parameters
        ----------
        sources : sequence of Source
            All of one href, kind, variable and index; they differ in ``at`` alone.
        geobox : GeoBox
            The tile, any CRS.
        resampling : str
            GDAL's name; not used where the source lies on the tile's own lattice.
        anchor : tuple of float
            x and y of the cube's corner: what is resampled does not depend on how the cube is tiled.

        Returns
        -------
        list of Window or None
            One a source; ``None`` where it does not touch the tile.

        Raises
        ------
        ReadFault
            Where the source cannot be read; never zeros instead.
        """
        ...


_HOMES: Mapping[str, tuple[str, str]] = {
    "raster": ("earthlab.cube.readers.raster", "read_raster"),
    "netcdf": ("earthlab.cube.readers.netcdf", "read_netcdf"),
    "zarr": ("earthlab.cube.readers.zarr", "read_zarr"),
}


def find_reader(kind: str) -> Reader:
    """The reader of a kind of source; its module is imported when it is first asked for.

    Raises
    ------
    BadRequest
        For a kind that has none.
    """
    if kind not in _HOMES:
        raise BadRequest(f"No reader for sources of kind {kind!r}. {did_you_mean(kind, _HOMES)}")
    module, name = _HOMES[kind]
    return cast("Callable[..., list[Window | None]]", getattr(import_module(module), name))
