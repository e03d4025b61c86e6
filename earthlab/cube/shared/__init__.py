"""Cubes that everyone shares: built once under the token of their plan, stored as Zarr, opened by all."""

from earthlab.cube.shared.access import set_access_check
from earthlab.cube.shared.lease import Patience
from earthlab.cube.shared.sharing import (
    BuildProgress,
    SharedCube,
    find_shared,
    list_shared,
    open_shared,
    share_cube,
)
from earthlab.cube.shared.stores import CannotWrite

__all__ = [
    "BuildProgress",
    "CannotWrite",
    "Patience",
    "SharedCube",
    "find_shared",
    "list_shared",
    "open_shared",
    "set_access_check",
    "share_cube",
]
