"""The pictures of the report, as SVG: seats over time, memory over time, what people waited."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from earthlab.hub.parts import PARTS
from earthlab.rehearsal.story import PHASES, Phase, Sample, Span, Story

_WIDE, _LEFT, _RIGHT = 1000, 110, 16
_PLOT = _WIDE - _LEFT - _RIGHT

# Okabe and Ito's colours, which people tell apart whatever they see of colour.
PHASE_COLOURS: Mapping[Phase, str] = {
    "sign-in": "#cc79a7",
    "waiting": "#e69f00",
    "page": "#f0e442",
    "notebook": "#56b4e9",
    "kernel": "#0072b2",
    "cell": "#d55e00",
    "thinking": "#bfe3d3",
    "away": "#777777",
    "open tab": "#009e73",
}
PART_COLOURS: Mapping[str, str] = dict(
    zip(
        PARTS,
        (
            "#999999",
            "#0072b2",
            "#003f5c",
            "#7a7a7a",
            "#5b3a8c",
            "#b48ad6",
            "#56b4e9",
            "#e69f00",
            "#f5d08a",
            "#cc79a7",
            "#d55e00",
            "#cccccc",
        ),
        strict=True,
    )
)


def draw_timeline(stories: Sequence[Story], seconds: float) -> str:
    """A row for each seat, coloured by what the person was doing."""
    tall = max(3, min(14, 900 // max(len(stories), 1)))
    rows = []
    for row, story in enumerate(sorted(stories, key=lambda story: story.arrived)):
        bars = "".join(
            f"<rect x='{_x(span.begun, seconds):.1f}' y='{row * tall}' height='{tall - (tall > 4)}' "
            f"width='{max(_PLOT * (span.ended - span.begun) / seconds, 0.4):.1f}' fill='{PHASE_COLOURS[span.phase]}'/>"
            for span in _uncovered(story.spans)
        )
        rows.append(f"<g><title>{escape(story.user)} · {escape(story.habit)}</title>{bars}</g>")
    height = len(stories) * tall
    return _svg(height + 24, f"{''.join(rows)}{_time_axis(seconds, height)}", "Places / seats")


def draw_memory(samples: Sequence[Sample], seconds: float, limit: int) -> str:
    """Memory by part, laid over each other, with the limit and the number of people."""
    tall = 260
    most = max(limit, *(sum(sample.memory.values()) for sample in samples)) * 1.05
    people = max((sample.seats for sample in samples), default=0) * 1.25
    floor = [0.0] * len(samples)
    shapes = []
    for part in (part for part in PARTS if any(part in sample.memory for sample in samples)):
        roof = [low + sample.memory.get(part, 0) for low, sample in zip(floor, samples, strict=True)]
        there = [
            f"{_x(s.second, seconds):.1f},{_y(value, most, tall):.1f}" for s, value in zip(samples, roof, strict=True)
        ]
        back = [
            f"{_x(s.second, seconds):.1f},{_y(value, most, tall):.1f}" for s, value in zip(samples, floor, strict=True)
        ]
        points = " ".join([*there, *reversed(back)])
        shapes.append(f"<polygon points='{points}' fill='{PART_COLOURS[part]}'><title>{part}</title></polygon>")
        floor = roof
    line = " ".join(f"{_x(s.second, seconds):.1f},{_y(s.seats, max(people, 1), tall):.1f}" for s in samples)
    limits = _y(limit, most, tall)
    marks = "".join(
        f"<text x='{_LEFT - 6}' y='{_y(value, most, tall) + 4:.1f}' text-anchor='end'>{value / 1e9:g} Go</text>"
        for value in _ticks(most)
    )
    inner = (
        f"{''.join(shapes)}{marks}<polyline points='{line}' class='people'/>"
        f"<line x1='{_LEFT}' x2='{_WIDE - _RIGHT}' y1='{limits:.1f}' y2='{limits:.1f}' class='limit'/>"
        f"<text x='{_WIDE - _RIGHT}' y='{limits - 4:.1f}' text-anchor='end'>limite · limit</text>"
        f"{_time_axis(seconds, tall)}"
    )
    return _svg(tall + 24, inner, "Mémoire / memory")


def draw_waits(waits: Mapping[str, Sequence[float]], labels: Mapping[str, str]) -> str:
    """Each person's wait as a dot, one row for each thing waited for, with median and 95th percentile."""
    most = max((max(values) for values in waits.values() if values), default=1.0) * 1.05 or 1.0
    tall = 46
    rows = []
    for row, (name, values) in enumerate(waits.items()):
        middle = row * tall + tall / 2
        dots = "".join(
            f"<circle cx='{_x(value, most):.1f}' cy='{middle + (index % 7 - 3) * 3:.1f}' r='2.6' class='dot'/>"
            for index, value in enumerate(sorted(values))
        )
        label = f"<text x='{_LEFT - 6}' y='{middle + 4:.1f}' text-anchor='end'>{escape(labels[name])}</text>"
        rows.append(label + dots)
    height = tall * len(waits)
    return _svg(height + 24, f"{''.join(rows)}{_time_axis(most, height)}", "Attentes / waits")


def draw_legend(colours: Mapping[Any, str], labels: Mapping[Any, str]) -> str:
    """What each colour stands for."""
    return "".join(
        f"<span class='key'><i style='background:{colours[name]}'></i>{escape(label)}</span>"
        for name, label in labels.items()
    )


def _uncovered(spans: Sequence[Span]) -> list[Span]:
    # A span within another, as a loss within a cell, is drawn over it.
    return sorted(spans, key=lambda span: (span.begun, PHASES.index(span.phase)))


def _x(second: float, most: float) -> float:
    return _LEFT + _PLOT * second / most


def _y(value: float, most: float, tall: float) -> float:
    return tall * (1 - value / most)


def _ticks(most: float) -> list[float]:
    step = next(
        step for power in range(-3, 15) for step in (10**power, 2 * 10**power, 5 * 10**power) if most / step <= 7
    )
    return [step * index for index in range(int(most / step) + 1)]


def _time_axis(most: float, y: float) -> str:
    marks = "".join(
        f"<text x='{_x(second, most):.1f}' y='{y + 18}' text-anchor='middle'>{second:g} s</text>"
        f"<line x1='{_x(second, most):.1f}' x2='{_x(second, most):.1f}' y1='0' y2='{y + 4}' class='tick'/>"
        for second in _ticks(most)
    )
    return f"<g>{marks}</g>"


def _svg(height: float, inner: str, title: str) -> str:
    return f"<svg viewBox='0 0 {_WIDE} {height:.0f}' role='img' aria-label='{escape(title)}'>{inner}</svg>"
