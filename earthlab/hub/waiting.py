"""What somebody who waits for a place is told: where they stand and how long it takes, as far as that can be known."""

import math
from dataclasses import dataclass
from statistics import fmean, pvariance
from typing import Any

from earthlab.hub.admission import Standing

_EXPECTED_START = 6.0
"""Seconds of a start before one has been seen."""
_ENOUGH_STARTS = 5
_GENERATIONS = 3
"""Those who start together slow each other down: the first such group says little of the next, older ones nothing."""
_NINE_OF_TEN = 1.645
_DRIFT = 0.15
"""By how much the pace may change while somebody waits: others' work comes and goes."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds until JupyterLab opens: about ``middle``, in nine cases of ten between ``low`` and ``high``.

    ``rough`` where too few starts have been seen to promise that much.
    """

    low: float
    middle: float
    high: float
    rough: bool


def estimate_wait(standing: Standing) -> Span | None:
    """How long somebody in the queue still waits; ``None`` where it depends on when others leave, which nobody knows.

    Of ``starts`` servers that start together one is ready every mean / ``starts`` seconds, the next after half of that
    on average. To the variance of the starts ahead and of one's own are added that of this half, that of the mean
    itself, and some for a pace that changes.
    """
    place = standing.place
    if place is None or place > standing.room:
        return None
    lately = standing.launches[-max(4 * _ENOUGH_STARTS, _GENERATIONS * standing.starts) :]
    rough = len(lately) < max(_ENOUGH_STARTS, 2 * standing.starts)
    launches = lately or (_EXPECTED_START,)
    mean = fmean(launches)
    variance = mean**2 if rough else pvariance(launches)
    turns = (place - 0.5) / standing.starts
    middle = mean * (turns + 1)
    spread = math.sqrt(
        variance * turns / standing.starts
        + variance
        + (mean / standing.starts) ** 2 / 12
        + variance / len(launches) * (turns + 1) ** 2
        + (_DRIFT * middle) ** 2
    )
    return Span(max(0.0, middle - _NINE_OF_TEN * spread), middle, middle + _NINE_OF_TEN * spread, rough)


def render_standing(standing: Standing) -> dict[str, Any]:
    """One event of JupyterHub's progress: a sentence in both languages, and its parts for the waiting page."""
    if standing.place is None:
        return {"progress": 60, "stage": "starting", **_sentences(*_STARTING)}
    french, english = _place_fr(standing.place), _place_en(standing.place)
    span = estimate_wait(standing)
    if span is None:
        why, stage = (_KEPT, "kept") if standing.kept else (_FULL, "full")
        full = f"{french}. {why[0]} · {english}. {why[1]}"
        said = {"progress": 5, "stage": stage, **_sentences(french, english), "message": full}
    else:
        middle, low, high = map(render_duration, (span.middle, span.low, span.high))
        said = {
            "progress": round(10 + 40 / standing.place),
            "stage": "rough" if span.rough else "waiting",
            **_sentences(f"{french}, environ {middle}", f"{english}, about {middle}"),
            "low": low,
            "high": high,
        }
    return said | {"place": standing.place, "waiting": standing.waiting}


_STARTING = ("Votre JupyterLab démarre…", "Your JupyterLab is starting…")
_FULL = (
    "Le labo est plein : on entre à mesure que des places se libèrent, et personne ne sait quand.",
    "The lab is full: people enter as seats come free, and nobody knows when.",
)


_KEPT = (
    "Des places sont gardées pour un atelier : on entre quand d’autres se libèrent, ou quand il finit.",
    "Places are kept for a workshop: people enter as others come free, or when it ends.",
)


def _sentences(french: str, english: str) -> dict[str, str]:
    return {"message": f"{french} · {english}", "fr": french, "en": english}


def _place_fr(place: int) -> str:
    return "Vous êtes en tête de la file" if place == 1 else f"Vous êtes {place}e"


def _place_en(place: int) -> str:
    return "You are next" if place == 1 else f"You are {ordinal_en(place)}"


def ordinal_en(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    teens = 10 < number % 100 < 14
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def render_duration(seconds: float) -> str:
    """A length of time in words of both languages, only as exact as anybody believes it: ``20 s``, ``2 min``."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    return f"{round(seconds / 60)} min"
