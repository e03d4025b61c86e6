"""What each process of a lab is, and the memory and processor time it takes: read from /proc, by whoever may."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from earthlab.kernel.process import split_stat

Part = Literal[
    "supervisor",
    "hub",
    "proxy",
    "services",
    "template",
    "nursery",
    "server",
    "kernel",
    "parked",
    "scheduler",
    "worker",
    "other",
]

PARTS: tuple[Part, ...] = get_args(Part)

SEAT_PARTS: tuple[Part, ...] = ("nursery", "server", "kernel", "parked", "scheduler", "worker", "other")
"""The parts of which every seat has its own; the others are the lab's, however many come."""

# Copies of the template have its command line, and say by their name what they are.
_NAMES: Mapping[str, Part] = {
    "el-template": "template",
    "el-nursery": "nursery",
    "el-server": "server",
    "el-kernel": "kernel",
    "el-parked": "parked",
    "el-scheduler": "scheduler",
    "el-worker": "worker",
}

# The first that stands among a command's words decides.
_WORDS: tuple[tuple[bytes, Part], ...] = (
    (b"distributed.cli.dask_scheduler", "scheduler"),
    (b"distributed.cli.dask_worker", "worker"),
    (b"earthlab.kernel.template", "template"),
    (b"earthlab.kernel.nursery", "nursery"),
    (b"earthlab.kernel", "kernel"),
    (b"ipykernel_launcher", "kernel"),
    (b"earthlab.hub.server", "server"),
    (b"jupyterhub.singleuser", "server"),
    (b"jupyterhub-singleuser", "server"),
    (b"jupyterhub_idle_culler", "services"),
    (b"earthlab.hub.keeper", "services"),
    (b"earthlab.hub.template", "services"),
    (b"earthlab.services.", "services"),
    (b"dask-gateway-proxy", "services"),
    (b"configurable-http-proxy", "proxy"),
    (b"jupyterhub", "hub"),
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one process: ``pss`` with its share of what it has in common, ``private`` what it alone has."""

    pss: int
    private: int


def classify(command: str, cmdline: bytes) -> Part:
    """What a process is, by its name (``comm``) and its command line, whose words end in zero bytes.

    A child that says nothing of itself, as what a task has started, is ``"other"``: see ``classify_all``.
    """
    if command in _NAMES:
        return _NAMES[command]
    words = cmdline.split(b"\0")
    if any(word.endswith(b"/earthlab") for word in words[:2]) and b"lab" in words[1:3]:
        return "supervisor"
    return next((part for mark, part in _WORDS if any(_names(word, mark) for word in words)), "other")


def _names(word: bytes, mark: bytes) -> bool:
    return word == mark or word.endswith(b"/" + mark) or (mark.endswith(b".") and word.startswith(mark))


def classify_all(pids: Mapping[int, int]) -> dict[int, Part]:
    """What each of these processes is; one that says nothing of itself is what its parent is.

    Parameters
    ----------
    pids : mapping
        The parent's pid by pid.
    """
    named = {pid: classify(_comm(pid), _cmdline(pid)) for pid in pids}

    def resolve(pid: int) -> Part:
        seen: set[int] = set()
        while named.get(pid) == "other" and pids[pid] in named and pid not in seen:
            seen.add(pid)
            pid = pids[pid]
        return named[pid]

    return {pid: resolve(pid) for pid in pids}


def read_memory(pid: int) -> Memory | None:
    """The memory of one process; ``None`` where it has ended or is not ours to read. Takes about a millisecond."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:
        return None
    sizes = {words[0]: int(words[1]) * 1024 for words in map(bytes.split, lines[1:])}
    private = sizes.get(b"Private_Clean:", 0) + sizes.get(b"Private_Dirty:", 0)
    return Memory(pss=sizes.get(b"Pss:", 0), private=private)


def read_processor(pid: int) -> float:
    """The processor seconds that one process has used, user and system; 0 where it has ended."""
    try:
        _, fields = split_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
