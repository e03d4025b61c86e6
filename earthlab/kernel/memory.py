"""Where memory ends: which process goes first, and what its user is told to do next."""

import ctypes
import gc
import mmap
import sys
import threading
import time
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

SERVER = 100
KERNEL = 300
"""How readily the machine ends a process when memory is short (``oom_score_adj``, proc(5)): a kernel before its
server, and both before the hub, which has 0."""

IDLE = 5.0
"""Seconds without a cell after which a kernel gives back what its cells have freed, and others what their work has."""

_WORK = 0.1
"""Processor seconds since the last time that make another worth its while."""

_REST = 0.02
"""The share of a processor below which a process rests."""

_STEP, _LARGEST = 16, 512
"""Bytes: Python keeps small objects by size in such steps, and leaves what is larger to the C library."""

_FILLED, _ROUNDS = 128 << 10, 64
"""Bytes of each size that are taken at a time, and how often at most."""

_DENSE = 1.5
"""Pages for each page that these bytes would fill, up to which no gaps are left."""

_FILLING: list[list[object]] = []
"""What has been put into the gaps, held for as long as the process lives."""

NEXT_STEPS = (
    "Que faire : une zone plus petite (bbox=), moins de bandes (bands=) ou de dates (time=), un pixel plus grand "
    "(resolution=) ; el.plan(…).explain() dit d'avance la mémoire qu'il faut ; calculer ailleurs : "
    "with el.cluster() as client: … ; fermer les autres notebooks ; redémarrer ce noyau.\n"
    "What to do: a smaller area (bbox=), fewer bands (bands=) or dates (time=), a larger pixel (resolution=); "
    "el.plan(…).explain() tells beforehand how much memory it takes; compute elsewhere: "
    "with el.cluster() as client: …; shut down other notebooks; restart this kernel."
)
"""What helps where memory was not enough, in French and in English."""


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """Bytes: what the machine has, and what it can give without swapping."""

    total: int
    available: int


def parse_meminfo(text: str) -> MachineMemory:
    """What ``/proc/meminfo`` says, proc_meminfo(5).

    Raises
    ------
    ValueError
        Where a line is missing.
    """
    lines = dict(line.split(":", 1) for line in text.splitlines())
    if missing := [name for name in ("MemTotal", "MemAvailable") if name not in lines]:
        raise ValueError(f"meminfo: found no {' and no '.join(missing)}")
    return MachineMemory(*(int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")))


def read_machine_memory() -> MachineMemory:
    """The memory of this machine, by its own account."""
    return parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii"))


def go_first(score: int) -> None:
    """Have this process, and all that it starts, ended before others when memory is short; never later than before."""
    file = Path("/proc/self/oom_score_adj")
    if int(file.read_text()) < score:
        file.write_text(str(score))


def give_back() -> None:
    """Return to the machine what nobody holds any more, and what the C library would keep for the next cell.

    Python looks for cycles of objects, as each computed cube leaves them, only once there are a quarter more objects:
    a class would hold its arrays for minutes after the cell.
    """
    if "earthlab.cube.readers.opened" in sys.modules:
        sys.modules["earthlab.cube.readers.opened"].close_local_files()
    if gc.isenabled():
        gc.collect()
    trim()


def trim() -> None:
    """Return to the machine what the C library keeps free for later."""
    ctypes.CDLL(None).malloc_trim(0)


def fill_gaps() -> None:
    """Take, for good, the places that are free between Python's objects.

    New objects are put there first, and a copy of this process would come to own the whole page for each few bytes.
    From now on they lie side by side.
    """
    for size in range(_STEP, _LARGEST + 1, _STEP):
        many = _FILLED // size
        for _ in range(_ROUNDS):
            filling = _make_objects(size, many)
            _FILLING.append(filling)
            pages = {id(each) // mmap.PAGESIZE for each in filling}
            if len(pages) <= _DENSE * _FILLED / mmap.PAGESIZE:
                break


def _make_objects(size: int, many: int) -> list[object]:
    if size <= sys.getsizeof(object()):
        return [object() for _ in repeat(None, many)]
    if size < sys.getsizeof(b""):
        return list(range(1000, 1000 + many))
    return [bytes(size - sys.getsizeof(b"")) for _ in repeat(None, many)]


def trim_at_rest(every: float = IDLE) -> None:
    """Have this process `trim` whenever it rests after work, for as long as it lives; looks every so many seconds.

    A server has served a page in seconds, and would hold what it took for them until its user leaves.
    """
    threading.Thread(target=_trim_at_rest, args=(every,), name="trim-at-rest", daemon=True).start()


def _trim_at_rest(every: float) -> None:
    trimmed = before = time.process_time()
    while True:
        time.sleep(every)
        now = time.process_time()
        if now - trimmed > _WORK and now - before < _REST * every:
            trim()
            trimmed = time.process_time()
        before = now


def explain_memory_errors(shell: Any) -> None:
    """Have an IPython shell end each `MemoryError` of its user's code with the next steps."""

    def show(shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None) -> Any:
        if NEXT_STEPS not in getattr(error, "__notes__", ()):
            error.add_note(NEXT_STEPS)
        return shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)

    shell.set_custom_exc((MemoryError,), show)
