"""The folder of shared cubes: who may build in it, on a machine with an account a user or one for all."""

import grp
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.hub.layout import AccountMode, Layout
from earthlab.rights import OPEN, load_rules

_PROGRAMS = "/usr/sbin:/sbin:/usr/bin:/bin"


def cubes_group(layout: Layout) -> str:
    """The Unix group of the lab's accounts, which build cubes in one folder."""
    return f"el-cubes-{layout.lab_id}"


def licensees_group(layout: Layout, access: str) -> str:
    """The Unix group of those who may read cubes of an access class."""
    return f"{cubes_group(layout)}-{access}"


def open_licensed_cubes(layout: Layout, mode: AccountMode, name: str, classes: Collection[str]) -> None:
    """Let an account into the folders of those access classes, and out of all others.

    Processes that run keep the groups they began with: a right that ends is gone with the user's next server. One call
    at a time: programs that change groups do not wait for each other (see `earthlab.hub.accounts.account_lock`).

    Raises
    ------
    SetupError
        Where a group cannot be changed.
    """
    if mode == "shared" or os.getuid() != 0:
        return
    for rule in load_rules():
        group = _ensure_group(licensees_group(layout, rule.id))
        if rule.id in classes and name not in group.gr_mem:
            _run("usermod", "--append", "--groups", group.gr_name, name)
        elif rule.id not in classes and name in group.gr_mem:
            _run("gpasswd", "--delete", name, group.gr_name)


def open_cubes_folder(layout: Layout, mode: AccountMode, name: str, uid: int, gid: int) -> None:
    """Let an account build in the folder of shared cubes: as its owner, or as one of the group.

    Where each user has an account, the store itself is root's: nobody else makes, moves or replaces the folder of an
    access class in it. All of these are made here, before there is anybody who could take the place of one.

    Raises
    ------
    SetupError
        Where the group cannot be made, or a folder is a link or belongs to somebody else.
    """
    layout.cubes.mkdir(mode=0o755, exist_ok=True)
    if os.getuid() != 0:
        return
    if mode == "shared":
        _hand_over(layout.cubes, uid, gid, 0o755)
        return
    group = _ensure_group(cubes_group(layout))
    _hand_over(layout.cubes, 0, 0, 0o755)
    _open_class_folder(layout.cubes / OPEN, group.gr_gid, 0o2775)
    for rule in load_rules():
        _require_roots_own(layout.cubes / rule.id)
        _open_class_folder(layout.cubes / rule.id, _ensure_group(licensees_group(layout, rule.id)).gr_gid, 0o2770)
    if name not in group.gr_mem:
        _run("usermod", "--append", "--groups", group.gr_name, name)


def _ensure_group(name: str) -> grp.struct_group:
    try:
        return grp.getgrnam(name)
    except KeyError:
        _run("groupadd", "--system", "--force", name)
    return grp.getgrnam(name)


def _open_class_folder(folder: Path, gid: int, mode: int) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    _hand_over(folder, 0, gid, mode)


def _require_roots_own(folder: Path) -> None:
    """Who made a folder could leave an access list on it, or files in it, that outlive a change of its owner."""
    if os.path.lexists(folder) and folder.lstat().st_uid != 0:
        raise SetupError(
            f"{folder} is for licensed cubes and was made by uid {folder.lstat().st_uid}, who could let others in. "
            "Move it away; the hub makes it anew."
        )


def _hand_over(folder: Path, uid: int, gid: int, mode: int) -> None:
    if folder.is_symlink():
        raise SetupError(f"{folder} is a link. Remove it, or set EARTHLAB__CUBES__STORE.")
    os.chown(folder, uid, gid)
    folder.chmod(mode)


def _run(program: str, *words: str) -> None:
    found = shutil.which(program, path=_PROGRAMS)
    if found is None:
        raise SetupError(f"{program} is missing. Install it (Debian: apt install passwd).")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(
            f"the group of shared cubes could not be made: {' '.join(done.stderr.split())} "
            "Check that /etc is writable, or set EARTHLAB__LAB__ACCOUNTS=shared."
        )
