"""The figures of a rehearsal: what people waited, what each part took, how many seats would fit."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from earthlab.hub.parts import SEAT_PARTS
from earthlab.rehearsal.story import NOTES, Failure, Rehearsal, Sample

MEASURES = ("sign_in", "lab_ready", "first_cell", "first_picture")
_MEMORY_PARTS: frozenset[str] = frozenset(SEAT_PARTS)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that people waited for one thing; ``many`` of them came to it."""

    many: int
    p50: float
    p95: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class PartUse:
    """One part of the lab: bytes before, at the busiest moment of the whole, and at its own; processor seconds."""

    before: int
    at_peak: int
    most: int
    processes: int
    processor: float


@dataclass(frozen=True, slots=True)
class Fit:
    """How many seats the machine's memory holds: likely ``seats``, between ``low`` and ``high`` with 95 %.

    ``per_seat`` and ``spread`` are the mean and the standard deviation of people's memory, in bytes, at the busiest
    moment; ``shared`` is what the lab takes however many come.
    """

    seats: int
    low: int
    high: int
    per_seat: float
    spread: float
    shared: int
    limit: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one rehearsal."""

    waits: Mapping[str, Waits]
    failures: Mapping[str, tuple[int, Failure]]
    """How many of each kind, and the first of them."""
    parts: Mapping[str, PartUse]
    before: int
    peak: int
    peak_second: float
    finished: int
    fit: Fit | None
    settled_after: float | None
    """Seconds after the class until nine tenths of the memory of people's processes were back; ``None``: never."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie, interpolated between neighbours (Hyndman and Fan's type 7).

    Raises
    ------
    ValueError
        For no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def describe_waits(seconds: Sequence[float]) -> Waits:
    """What a class waited for one thing.

    Raises
    ------
    ValueError
        Where nobody came to it.
    """
    p50, p95, p99 = (percentile(seconds, share) for share in (0.5, 0.95, 0.99))
    return Waits(len(seconds), p50, p95, p99, max(seconds))


def compute_figures(rehearsal: Rehearsal, *, reserve: int) -> Figures:
    """All figures of a rehearsal.

    Parameters
    ----------
    reserve : int
        Bytes of memory that must stay free.
    """
    waits: dict[str, list[float]] = defaultdict(list)
    for story in rehearsal.stories:
        for name, seconds in story.waits().items():
            waits[name].append(seconds)
    busiest = max(rehearsal.samples, key=_total)
    return Figures(
        waits={name: describe_waits(waits[name]) for name in MEASURES if waits[name]},
        failures=count_failures(rehearsal.failures),
        parts=describe_parts(rehearsal.samples),
        before=_total(rehearsal.samples[0]),
        peak=_total(busiest),
        peak_second=busiest.second,
        finished=sum(story.finished for story in rehearsal.stories),
        fit=estimate_fit(rehearsal.samples, reserve=reserve),
        settled_after=find_settling(rehearsal.samples, rehearsal.class_ended),
    )


def count_failures(failures: Sequence[Failure]) -> dict[str, tuple[int, Failure]]:
    """How many failures of each kind, the most frequent first, with the first of each as its example."""
    many = Counter(failure.kind for failure in failures)
    examples = {failure.kind: failure for failure in reversed(failures)}
    return {kind: (count, examples[kind]) for kind, count in many.most_common()}


def count_visible(failures: Mapping[str, tuple[int, Failure]]) -> int:
    """Failures that a participant would have seen."""
    return sum(count for kind, (count, _) in failures.items() if kind not in NOTES)


def describe_parts(samples: Sequence[Sample]) -> dict[str, PartUse]:
    """What each part of the lab took."""
    busiest, first, last = max(samples, key=_total), samples[0], samples[-1]
    found = {}
    for part in sorted({part for sample in samples for part in sample.memory}):
        own = max(samples, key=lambda sample: sample.memory.get(part, 0))
        found[part] = PartUse(
            before=first.memory.get(part, 0),
            at_peak=busiest.memory.get(part, 0),
            most=own.memory.get(part, 0),
            processes=own.processes.get(part, 0),
            processor=last.processor.get(part, 0.0) - first.processor.get(part, 0.0),
        )
    return found


def estimate_fit(samples: Sequence[Sample], *, reserve: int, sigmas: float = 2.0) -> Fit | None:
    """How many seats fit, from what each person took at the busiest moment; ``None`` for fewer than two people.

    A class of n takes ``shared + n·mean + sigmas·spread·√n``, as n people who do not wait for each other; the limit
    is what the machine could give before, with what the lab itself had. The mean is known to ``sigmas`` standard
    errors, from which the uncertainty of the number follows.
    """
    busiest = max(samples, key=_total)
    people = busiest.people
    if len(people) < 2:
        return None
    mean = sum(people) / len(people)
    spread = math.sqrt(sum((one - mean) ** 2 for one in people) / (len(people) - 1))
    error = sigmas * spread / math.sqrt(len(people))
    shared = _total(busiest) - _of_people(busiest)
    limit = samples[0].available + _total(samples[0]) - reserve
    seats, low, high = (
        _most_seats(limit - shared, per_seat, sigmas * spread)
        for per_seat in (mean, mean + error, max(mean - error, 1.0))
    )
    return Fit(seats, low, high, mean, spread, shared, limit)


def _most_seats(room: float, mean: float, spread: float) -> int:
    # The positive root of mean·n + spread·√n = room, in √n.
    if room <= 0:
        return 0
    root = (-spread + math.sqrt(spread**2 + 4 * mean * room)) / (2 * mean)
    return math.floor(root**2)


def find_settling(samples: Sequence[Sample], ended: float, share: float = 0.9) -> float | None:
    """Seconds after ``ended`` from which people's processes are gone but for those of before, and stay gone.

    With them goes their memory: ``share`` of what they took at their peak, since a process of before may have grown.
    """
    before, peak = _of_people(samples[0]), max(map(_of_people, samples))
    most, processes = peak - share * (peak - before), _processes_of_people(samples[0])
    settled = None
    for sample in samples:
        if sample.second >= ended:
            if _of_people(sample) > most or _processes_of_people(sample) > processes:
                settled = None
            elif settled is None:
                settled = sample.second - ended
    return settled


def _of_people(sample: Sample) -> int:
    return sum(size for part, size in sample.memory.items() if part in _MEMORY_PARTS)


def _processes_of_people(sample: Sample) -> int:
    return sum(many for part, many in sample.processes.items() if part in _MEMORY_PARTS)


def _total(sample: Sample) -> int:
    return sum(sample.memory.values())
