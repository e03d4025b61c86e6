"""``cube.earthlab``: what a cube knows of itself. Registered when the first cube is opened."""

from typing import Any

import pandas as pd
import xarray as xr

from earthlab.catalog import cite
from earthlab.cube import PLAN_ATTRIBUTE, CubePlan
from earthlab.cube.faults import fault_table, find_faults
from earthlab.cube.opening import open_trace
from earthlab.errors import BadRequest, did_you_mean
from earthlab.view import show
from earthlab.view.live import watch_openings

watch_openings()


@xr.register_dataset_accessor("earthlab")
class CubeAccessor:
    """The plan, the faults, the mask, the citation and the map of a cube that `earthlab.open` made."""

    def __init__(self, cube: xr.Dataset) -> None:
        self._cube = cube

    @property
    def plan(self) -> CubePlan:
        """The plan the cube was opened from.

        Raises
        ------
        BadRequest
            Where the dataset does not carry one any more.
        """
        text = self._cube.attrs.get(PLAN_ATTRIBUTE)
        if text is None:
            raise BadRequest(
                f"This dataset carries no plan (attribute {PLAN_ATTRIBUTE!r}). Ask the cube of el.open(...) itself, "
                "or compute with xarray.set_options(keep_attrs=True)."
            )
        return CubePlan.from_json(text)

    @property
    def faults(self) -> pd.DataFrame:
        """The reads that failed for good so far, one row each.

        Columns: collection, item, band, block, the pixels it has along time, y and x, cause, transient. They are
        nodata; a block that is read again, and succeeds, takes its rows away. Lazy cubes fill it while they are
        computed, here or on the workers of the current client; a shared cube carries that of its building.
        """
        return fault_table(find_faults(self.plan.token))

    def source(self, band: str | None = None) -> xr.Dataset:
        """Which item each pixel of a band comes from, and how many observed it; by default of the first band. Lazy.

        Raises
        ------
        BadRequest
            For a band the cube does not have.
        """
        return open_trace(self.plan, band or self.plan.bands[0])

    def cite(self) -> str:
        """Citation and licence of the cube's data."""
        return cite(self._cube)

    def mask(self, name: str = "clear") -> xr.DataArray:
        """True where a date holds a clear observation in at least one band; lazy, axes time, y, x.

        Raises
        ------
        BadRequest
            For a recipe the cube was not opened with.
        """
        recipe = self.plan.mask
        if recipe is None or recipe.name != name:
            raise BadRequest(
                f"mask: the cube was opened with {recipe.name if recipe else None!r}, not {name!r}. "
                f"{did_you_mean(name, [recipe.name] if recipe else [])} Open it with mask={name!r}."
            )
        observed = self._cube.to_dataarray("band").notnull().any("band")
        return observed.rename(name).assign_attrs(long_name=recipe.why, units="1")

    def explore(self, **words: Any) -> Any:
        """A map of the cube; takes the words of `earthlab.show`."""
        return show(self._cube, **words)
