"""The temporal functions of CQL2, on spans: a span has two ends, and those of an instant are the same."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """The SQL of both ends of an interval; open ends are infinities."""

    begins: str
    ends: str


_RELATIONS: Mapping[str, str] = {
    "t_after": "{a} > {d}",
    "t_before": "{b} < {c}",
    "t_contains": "{a} < {c} AND {b} > {d}",
    "t_disjoint": "({b} < {c} OR {a} > {d})",
    "t_during": "{a} > {c} AND {b} < {d}",
    "t_equals": "{a} = {c} AND {b} = {d}",
    "t_finishedby": "{a} < {c} AND {b} = {d}",
    "t_finishes": "{a} > {c} AND {b} = {d}",
    "t_intersects": "{a} <= {d} AND {b} >= {c}",
    "t_meets": "{b} = {c}",
    "t_metby": "{a} = {d}",
    "t_overlappedby": "{a} > {c} AND {a} < {d} AND {b} > {d}",
    "t_overlaps": "{a} < {c} AND {b} > {c} AND {b} < {d}",
    "t_startedby": "{a} = {c} AND {b} > {d}",
    "t_starts": "{a} = {c} AND {b} < {d}",
}
FUNCTIONS = frozenset(_RELATIONS)


def write_relation(function: str, first: Span, second: Span) -> str:
    """The SQL of a temporal function between two spans, as OGC 21-065r2 defines it; ends that touch do not overlap."""
    return _RELATIONS[function].format(a=first.begins, b=first.ends, c=second.begins, d=second.ends)
