"""What the machine spends on a rehearsal: memory and processor time by part, read now and then in a thread."""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from earthlab.hub.layout import Layout
from earthlab.hub.parts import SEAT_PARTS, classify_all, read_memory, read_processor
from earthlab.hub.processes import Process, find_lab_processes
from earthlab.kernel.memory import read_machine_memory
from earthlab.rehearsal.story import Sample

_SHARE, _SHARE_WHERE_DEAR = 0.1, 0.03
"""Of one processor that sampling itself may take: reading the memory of hundreds of processes is no small thing."""

_DEAR = 0.5
"""Processor seconds of a look from which on the class is large: short of processors, and steadier in what it takes."""

_SELDOM = 30.0


@dataclass(slots=True)
class Sampler:
    """Looks at a lab's processes; ``seats`` tells how many people are there at the moment."""

    layout: Layout
    began: float
    """``time.monotonic()`` at the start of the rehearsal."""
    seats: Callable[[], int]
    every: float = 1.0
    samples: list[Sample] = field(default_factory=list)
    _cost: float = 0.0
    """Processor seconds that the last look took."""
    _spent: dict[tuple[int, int], tuple[str, float]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample for as long as the block runs, and once at its end."""
        task = asyncio.create_task(self._sample_on())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.sample()

    async def sample(self) -> Sample:
        """Look once."""
        found = await asyncio.to_thread(self._look)
        self.samples.append(found)
        return found

    async def _sample_on(self) -> None:
        while True:
            await self.sample()
            share = _SHARE if self._cost < _DEAR else _SHARE_WHERE_DEAR
            await asyncio.sleep(min(max(self.every, self._cost / share), _SELDOM))

    def _look(self) -> Sample:
        begun = time.thread_time()
        found = self._count()
        self._cost = time.thread_time() - begun
        return found

    def _count(self) -> Sample:
        processes = find_lab_processes(self.layout)
        parts = classify_all({process.pid: process.parent for process in processes})
        memory, private, many = Counter[str](), Counter[str](), Counter[str]()
        people: dict[int, int] = defaultdict(int)
        for process in processes:
            part = parts[process.pid]
            self._spend(process, part)
            if (found := read_memory(process.pid)) is not None:
                memory[part] += found.pss
                private[part] += found.private
                many[part] += 1
                if process.uid and part in SEAT_PARTS:
                    people[process.uid] += found.pss
        processor = Counter[str]()
        for spender, seconds in self._spent.values():
            processor[spender] += seconds  # type: ignore[assignment]  # Counter counts floats as well
        return Sample(
            second=round(time.monotonic() - self.began, 3),
            seats=self.seats(),
            memory=dict(memory),
            private=dict(private),
            processes=dict(many),
            processor={part: round(seconds, 2) for part, seconds in processor.items()},
            available=read_machine_memory().available,
            people=tuple(sorted(people.values())),
        )

    def _spend(self, process: Process, part: str) -> None:
        # What has ended keeps what it had spent when it was last seen.
        self._spent[process.pid, process.start] = (part, read_processor(process.pid))
