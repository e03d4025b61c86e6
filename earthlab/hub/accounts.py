"""Unix accounts for hub users: one each where the hub runs as root, so that the kernel keeps users apart."""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import BadRequest, SetupError
from earthlab.hub.cubes import open_cubes_folder
from earthlab.hub.layout import AccountMode, Layout

SHARED = "shared account"
"""Stands for all users where a hub of root's is told to let them share an account. No user can be called so."""

SEAT_PREFIX = "atelier-"
"""Begins the names of workshops' seats, whom passes sign in (`earthlab.hub.passes`). Nobody else can be called so."""

REHEARSAL_PREFIX = "repetition-"
"""Begins the names of the seats of a rehearsal (`earthlab.rehearsal`). Nobody's name may begin so."""

USER_PATTERN = r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Account:
    """The Unix identity that a user's processes run as, and the user's home."""

    name: str
    uid: int
    gid: int
    home: Path


def norm_user(name: str) -> str:
    """The hub's form of a user name: lower case, without outer blanks.

    Raises
    ------
    BadRequest
        For a name the hub does not take.
    """
    user = name.strip().lower()
    if not re.fullmatch(USER_PATTERN, user):
        raise BadRequest(
            f"user name: found {name!r}, expected 1 to 64 of a-z 0-9 . _ @ + -, a letter or digit first and last."
        )
    return user


def norm_person(name: str) -> str:
    """The hub's form of the name of somebody who is not a seat of a workshop.

    Raises
    ------
    BadRequest
        For a name that the hub does not take, or keeps for seats.
    """
    user = norm_user(name)
    if user.startswith(SEAT_PREFIX):
        raise BadRequest(f"user name: found {name!r}, but {SEAT_PREFIX}… are the seats of workshops. Choose another.")
    return user


def account_name(hub_user: str, lab_id: str) -> str:
    """The Unix account of a hub user: ``el-<slug>-<6 hex>``, at most 32 characters, the same at every start."""
    slug = re.sub(r"[^a-z0-9]+", "-", hub_user.lower()).strip("-")[:22].strip("-") or "user"
    return f"el-{slug}-{_digest(hub_user, lab_id)[:6]}"


def resolve_account(hub_user: str, layout: Layout, mode: AccountMode) -> Account:
    """The account and home of a hub user, made if need be. Takes some 50 ms where an account is new.

    Raises
    ------
    SetupError
        Where the system refuses the account or the home belongs to somebody else.
    """
    account = _resolve_identity(hub_user, layout, mode)
    with account_lock(layout):
        open_cubes_folder(layout, mode, account.name, account.uid, account.gid)
    return account


def _resolve_identity(hub_user: str, layout: Layout, mode: AccountMode) -> Account:
    home = layout.homes / account_name(hub_user, layout.lab_id)
    if mode == "unix":
        return ensure_account(hub_user, layout)
    if os.getuid() == 0:
        shared = ensure_account(SHARED, layout)
        return Account(shared.name, shared.uid, shared.gid, _own_home(home, shared.uid, shared.gid))
    me = pwd.getpwuid(os.getuid())
    return Account(me.pw_name, me.pw_uid, me.pw_gid, _own_home(home, me.pw_uid, me.pw_gid))


def ensure_account(hub_user: str, layout: Layout) -> Account:
    """The Unix account of a hub user with its home 0700 under ``layout.homes``; made where it does not exist.

    Raises
    ------
    SetupError
        Where ``useradd`` fails, or an account or home of that name belongs to somebody else.
    """
    name = account_name(hub_user, layout.lab_id)
    home = layout.homes / name
    label = f"EarthLab {_digest(hub_user, layout.lab_id)[:32]}"
    with account_lock(layout):
        if not _exists(name):
            _add_account(name, home, label)
    entry = pwd.getpwnam(name)
    if entry.pw_uid < 100 or Path(entry.pw_dir) != home or entry.pw_gecos != label:
        raise SetupError(
            f"the Unix account {name} exists and is not this lab's (home {entry.pw_dir}, expected {home}). "
            f"Remove it with: userdel {name}"
        )
    return Account(name, entry.pw_uid, entry.pw_gid, _own_home(home, entry.pw_uid, entry.pw_gid))


def remove_account(hub_user: str, layout: Layout, mode: AccountMode, *, patience: float = 60.0) -> None:
    """Take away a hub user's home, and the account where it is the user's own. Nothing that is not there is missed.

    Parameters
    ----------
    patience : float
        Seconds to wait for processes of the account to end by themselves; then they are killed.

    Raises
    ------
    SetupError
        Where ``userdel`` fails.
    """
    name = account_name(hub_user, layout.lab_id)
    if mode == "unix" and _exists(name):
        uid = pwd.getpwnam(name).pw_uid
        if uid not in lab_accounts(layout):
            raise SetupError(f"the Unix account {name} is not this lab's. Look at it with: getent passwd {name}")
        _end_processes(uid, patience)
        with account_lock(layout):
            done = subprocess.run(["userdel", name], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"the Unix account {name} could not be removed: {' '.join(done.stderr.split())}")
    for folder in (layout.homes / name, layout.run / name[-6:]):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)


def _end_processes(uid: int, patience: float) -> None:
    until = time.monotonic() + patience
    while pids := _processes_of(uid):
        if time.monotonic() > until:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def _processes_of(uid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                status = (entry / "status").read_text(errors="replace")
                # A zombie waits for its parent only: it holds nothing back.
                if re.search(rf"^Uid:\t{uid}\t", status, re.MULTILINE) and "\nState:\tZ" not in status:
                    found.append(int(entry.name))
    return found


def lab_accounts(layout: Layout) -> dict[int, str]:
    """The Unix accounts of this lab, name by uid: those with a home among the lab's homes."""
    return {
        entry.pw_uid: entry.pw_name
        for entry in pwd.getpwall()
        if entry.pw_name.startswith("el-") and Path(entry.pw_dir).parent == layout.homes and entry.pw_uid >= 100
    }


def _digest(hub_user: str, lab_id: str) -> str:
    return hashlib.sha256(f"{lab_id}\0{hub_user}".encode()).hexdigest()


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@contextmanager
def account_lock(layout: Layout) -> Iterator[None]:
    """Held while accounts or groups change: `useradd` does not wait for another that holds /etc/passwd, it fails."""
    with (layout.hub / "accounts.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _add_account(name: str, home: Path, label: str) -> None:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise SetupError(
            "useradd is missing, so users cannot have accounts of their own. Install it (Debian: apt install passwd)."
        )
    options = ["--user-group", "--no-create-home", "--no-log-init", "--shell", _shell()]
    done = subprocess.run(
        [program, *options, "--home-dir", str(home), "--comment", label, "--", name],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetupError(
            f"the Unix account {name} could not be made: {' '.join(done.stderr.split())} "
            "Check that /etc is writable, or set EARTHLAB__LAB__ACCOUNTS=shared."
        )


def _shell() -> str:
    return shutil.which("bash", path="/bin:/usr/bin") or "/bin/sh"


def _own_home(home: Path, uid: int, gid: int) -> Path:
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        # A folder of root's among the homes is one that an interrupted start left half made.
        if home.lstat().st_uid == os.getuid() != uid:
            os.chown(home, uid, gid, follow_symlinks=False)
    except OSError as exc:
        raise SetupError(f"the home {home} could not be made: {exc.strerror}. Free space or mend the rights.") from exc
    if home.is_symlink() or home.lstat().st_uid != uid:
        raise SetupError(
            f"the home {home} belongs to uid {home.lstat().st_uid}, expected {uid}. Move it away and start again."
        )
    home.chmod(0o700)
    return home
