"""The folder of shared cubes: who may build in it, on a machine with an account a user or one for all."""

import grp
import os
import shutil
import subprocess
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.hub.layout import AccountMode, Layout

_PROGRAMS = "/usr/sbin:/sbin:/usr/bin:/bin"


def cubes_group(layout: Layout) -> str:
    """The Unix group of the lab's accounts, which build cubes in one folder."""
    return f"el-cubes-{layout.lab_id}"


def open_cubes_folder(layout: Layout, mode: AccountMode, name: str, uid: int, gid: int) -> None:
    """Let an account build in the folder of shared cubes: as its owner, or as one of the group.

    Raises
    ------
    SetupError
        Where the group cannot be made or the folder belongs to somebody else.
    """
    layout.cubes.mkdir(mode=0o755, exist_ok=True)
    if os.getuid() != 0:
        return
    if mode == "shared":
        _hand_over(layout.cubes, uid, gid, 0o755)
        return
    group = _ensure_group(cubes_group(layout))
    _hand_over(layout.cubes, 0, group.gr_gid, 0o2775)
    if name not in group.gr_mem:
        _run("usermod", "--append", "--groups", group.gr_name, name)


def _ensure_group(name: str) -> grp.struct_group:
    try:
        return grp.getgrnam(name)
    except KeyError:
        _run("groupadd", "--system", "--force", name)
    return grp.getgrnam(name)


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
