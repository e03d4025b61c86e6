"""What notebooks say to a class: figures compared with their reference, and exercises that answer with a hint.

Both print one line, French first, with no more digits than the tolerance allows, so that it is the same on every
machine. Where ``EARTHLAB_CHECKS`` names a file, each comparison is also added to it as a line of JSON.
"""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from earthlab.errors import BadRequest, EarthlabError

RECORD = "EARTHLAB_CHECKS"
"""The variable that names the file where comparisons are recorded."""
_SHOWN = 8


class CheckFailed(EarthlabError):
    """A figure of a notebook is not the published one: the message says by how much."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison, as it is recorded."""

    name: str
    reference: str
    found: str
    tolerance: str
    source: str


def check(
    name: str,
    found: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    tolerance: float,
    unit: str = "",
    source: str = "",
    relative: bool = False,
) -> None:
    """Compare a figure, or several, with its published reference, and print both.

    Parameters
    ----------
    name : str
        What is compared, French / English.
    found, reference : array_like of numbers
        Of one shape, or one reference for all. A lazy array is computed.
    tolerance : float
        The largest difference that is accepted, in the unit of the figures; 0 for counts.
    unit, source : str
        Printed beside: the unit, and where the reference was published.
    relative : bool
        The tolerance is a share of the reference.

    Raises
    ------
    CheckFailed
        Where a difference is larger, or a figure is missing (NaN).
    BadRequest
        For other shapes, no figures, or a tolerance that is none.
    """
    ours, theirs = (_numbers(values, name) for values in (found, reference))
    if not ours.size or (theirs.shape != ours.shape and theirs.size != 1):
        raise BadRequest(f"check {name!r}: found {ours.shape} figures and {theirs.shape} references, expected as many.")
    if not 0 <= tolerance < math.inf:
        raise BadRequest(f"check {name!r}: tolerance is {tolerance}, expected a number from 0 on.")
    allowed = tolerance * np.abs(theirs) if relative else np.full_like(theirs, tolerance)
    off = np.abs(ours - theirs)
    digits = _digits(float(np.max(allowed)))
    words = Check(
        name,
        _write(theirs, digits, unit),
        _write(ours, digits, unit),
        _write_tolerance(tolerance, unit, relative),
        source,
    )
    if not np.all(off <= allowed):
        raise CheckFailed(
            f"{name}: found {words.found}, expected {words.reference} within {words.tolerance}; the largest difference "
            f"is {np.max(off):.3g}. Run the notebook from its first cell; if it stays, the data or the method differ."
        )
    _record(words)
    beside = f" ({source})" if source else ""
    print(  # noqa: T201 - it is for the notebook
        f"✓ {name} : {words.found} · référence / reference {words.reference}, ± {words.tolerance}{beside}"
    )


def exercise(answer: Any, expected: Any, *, hint: str, hint_en: str, tolerance: float = 0.0) -> None:
    """Say whether an answer is right, and give a hint where it is not; ``None`` is no answer yet.

    Parameters
    ----------
    answer : number, str, bool or None
        What the participant found.
    expected : number, str or bool
        The right answer; of words, capitals and spaces around do not count.
    hint, hint_en : str
        In French and in English: where to look, not the answer.
    tolerance : float
        The largest difference of a number that still counts as right.
    """
    if answer is None:
        verdict = ("À vous !", "Your turn!")
    elif _is_right(answer, expected, tolerance):
        print("✓ Bravo, c’est juste. · Well done, that is right.")  # noqa: T201
        return
    else:
        verdict = ("Pas encore.", "Not yet.")
    print(f"{verdict[0]} {hint}\n{verdict[1]} {hint_en}")  # noqa: T201


def _numbers(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values, dtype="float64")
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"check {name!r}: found {values!r:.80}, expected numbers.") from exc


def _digits(tolerance: float) -> int:
    return 0 if tolerance == 0 else max(0, math.ceil(-math.log10(tolerance)))


def _write(values: npt.NDArray[np.float64], digits: int, unit: str) -> str:
    flat = values.ravel()
    texts = [f"{value + 0.0:.{digits}f}" if abs(value) < 1e15 else f"{value:.6g}" for value in flat[:_SHOWN]]
    more = f" … ({flat.size})" if flat.size > _SHOWN else ""
    return " ".join(texts) + more + (f" {unit}" if unit else "")


def _write_tolerance(tolerance: float, unit: str, relative: bool) -> str:  # noqa: FBT001 - a fact, passed on
    if relative:
        return f"{100 * tolerance:.3g} %"
    return f"{tolerance:.3g}" + (f" {unit}" if unit else "")


def _record(words: Check) -> None:
    path = os.environ.get(RECORD)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(words), ensure_ascii=False) + "\n")


def _is_right(answer: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, str):
        return isinstance(answer, str) and answer.strip().casefold() == expected.strip().casefold()
    try:
        return bool(abs(float(answer) - float(expected)) <= tolerance)
    except (TypeError, ValueError):
        return False
