"""What a forked process becomes before anything of its user's runs: an account, bounds, and a state of its own."""

import os
import resource
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from earthlab.kernel.memory import SERVER, go_first
from earthlab.kernel.private import see_own
from earthlab.kernel.process import set_dumpable

BOUNDS = {"core": resource.RLIMIT_CORE, "data": resource.RLIMIT_DATA, "nproc": resource.RLIMIT_NPROC}
"""The bounds that can be set, by the names that `Identity.bounds` has for them; setrlimit(2)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom, and within which bounds, a forked process runs."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary groups."""
    bounds: dict[str, int] = field(default_factory=dict)
    """Name in `BOUNDS` to the most that the process may have; lowered, never raised."""
    cgroups: tuple[str, ...] = ()
    """Folders of control groups that the process joins."""
    umask: int = 0o022
    private: dict[str, str] = field(default_factory=dict)
    """Folders of the account's own, by the places where the process finds them in place of everybody's; for root."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def parse_identity(document: dict[str, Any]) -> Identity:
    """What `Identity.to_dict` gave.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    bounds = {str(name): int(most) for name, most in document["bounds"].items()}
    if unknown := bounds.keys() - BOUNDS.keys():
        raise ValueError(f"unknown bounds {sorted(unknown)}")
    return Identity(
        uid=int(document["uid"]),
        gid=int(document["gid"]),
        groups=tuple(map(int, document["groups"])),
        bounds=bounds,
        cgroups=tuple(map(str, document["cgroups"])),
        umask=int(document["umask"]),
        private={str(place): str(folder) for place, folder in document["private"].items()},
    )


def own_identity() -> Identity:
    """The one that this process has already."""
    return Identity(os.getuid(), os.getgid(), tuple(os.getgroups()), umask=_own_umask())


def become(identity: Identity) -> None:
    """Take on an identity for good, in a process that has one thread.

    Raises
    ------
    OSError
        Where the system refuses any part: the process must then end, for it may be half of one and half of the other.
    """
    os.setsid()
    _forget_signals()
    for folder in identity.cgroups:
        Path(folder, "cgroup.procs").write_text("0")
    for name, most in identity.bounds.items():
        lower(BOUNDS[name], most)
    if os.getuid() == 0:
        # As root: what root has set nobody else can lower.
        go_first(SERVER)
        if identity.private:
            see_own(identity.private)
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        # A process that changed its uid may not look at itself in /proc, as psutil and subprocess do.
        set_dumpable()
    if (os.getuid(), os.geteuid()) != (identity.uid, identity.uid):
        raise PermissionError(f"uid {os.getuid()} cannot become uid {identity.uid}")
    os.umask(identity.umask)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def lower(kind: int, most: int) -> None:
    """Bound what this process may have of something, by the constants of `resource`; a lower bound stays."""
    hard = resource.getrlimit(kind)[1]
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))


def _own_umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask
