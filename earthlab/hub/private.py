"""A user's own /tmp, /var/tmp and /dev/shm in place of those in which everybody on the machine meets.

On disk they lie in the lab's state, shared memory in a folder of the machine's; all of it goes with the user's server.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.hub.accounts import Account
from earthlab.hub.layout import Layout, checkout
from earthlab.kernel.private import can_see_own
from earthlab.settings import Settings

PLACES = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - that is what this is about

FILES = ("EARTHLAB_SAMPLES", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GDAL_CURL_CA_BUNDLE")
"""Names of the operator's environment that users' processes are given, and that lead to files.

All but the first say whose certificates to believe; GDAL has a name of its own.
"""


def plan_private(settings: Settings, layout: Layout, operator: Mapping[str, str]) -> tuple[Path, ...]:
    """The places that users are to have for themselves: those under which nothing lies that all of them need.

    Parameters
    ----------
    operator : mapping
        The hub's own environment.
    """
    if not settings.hub.private_tmp:
        return ()
    needed = [layout.state, layout.run, Path(sys.prefix), Path(sys.base_prefix), checkout()]
    needed += [settings.catalogue.descriptors, *(Path(operator[name]) for name in FILES if name in operator)]
    if settings.cubes.store.startswith("/"):
        needed.append(Path(settings.cubes.store))
    return tuple(place for place in PLACES if not _holds_any(place, filter(None, needed)))


def _holds_any(place: Path, needed: Iterable[Path]) -> bool:
    return any(each.resolve().is_relative_to(place) for each in needed)


def open_private(layout: Layout, name: str, account: Account, places: Iterable[Path]) -> dict[str, str]:
    """A user's own folders by the places they are to be found at; empty where the machine does not let us.

    Parameters
    ----------
    name : str
        What the user's folders are called.

    Raises
    ------
    SetupError
        Where a folder of the lab's belongs to somebody else.
    """
    if os.getuid() != 0 or not _machine_lets_us():
        return {}
    there = [place for place in places if place.is_dir() and not place.is_symlink()]
    return {str(place): str(_own_folder(layout, name, account, place)) for place in there}


@cache
def _machine_lets_us() -> bool:
    """Asked once: containers without the right to mount stay so."""
    if can_see_own({}):
        return True
    sys.stderr.write("earthlab: this machine allows no mounts: users share /tmp, /var/tmp and /dev/shm\n")
    return False


def _own_folder(layout: Layout, name: str, account: Account, place: Path) -> Path:
    base = _base(layout, place)
    for folder in (base, base / name):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0:
            raise SetupError(f"{folder} exists and is not a folder of root's. Remove it.")
    own = base / name / place.relative_to("/").as_posix().replace("/", "-")
    own.mkdir(mode=0o700, exist_ok=True)
    os.chown(own, account.uid, account.gid, follow_symlinks=False)
    return own


def _base(layout: Layout, place: Path) -> Path:
    return layout.shared_memory if place == layout.shared_memory.parent else layout.tmp


def close_private(layout: Layout, name: str) -> None:
    """Remove a user's folders with all that is in them."""
    _remove(layout.tmp / name, layout.shared_memory / name)


def sweep_private(layout: Layout) -> None:
    """Remove the folders of all users. For when none of their processes runs any more."""
    _remove(layout.tmp, layout.shared_memory)


def _remove(*folders: Path) -> None:
    # Not by Python: users can make folders deeper than it may call itself.
    subprocess.run(["rm", "-rf", "--one-file-system", "--", *map(str, folders)], check=True)
