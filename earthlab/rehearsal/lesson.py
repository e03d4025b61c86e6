"""The notebook of a rehearsal as a person works through it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthlab.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell; ``reading`` is the number of words a person reads before it, its own included."""

    number: int
    code: str
    reading: int
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """A notebook: its place below the user's home, its kernel, its code cells in order."""

    path: str
    kernel: str
    cells: tuple[Cell, ...]
    document: str
    """The notebook as JSON, which a save sends."""


def read_lesson(path: Path, place: str | None = None) -> Lesson:
    """A notebook from a file.

    Parameters
    ----------
    place : str, optional
        Where users have it, below their home. By default where the lab's own notebooks go, else ``repetition/``.

    Raises
    ------
    BadRequest
        Where the file is missing, is no notebook, or holds no code.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"--notebook {path}: cannot be read ({exc}). Name a notebook (.ipynb).") from exc
    return parse_lesson(text, place or f"repetition/{path.name}")


def parse_lesson(text: str, path: str) -> Lesson:
    """A notebook from its text.

    Raises
    ------
    BadRequest
        Where it is no notebook or holds no code.
    """
    try:
        found = json.loads(text)
        kernel = found.get("metadata", {}).get("kernelspec", {}).get("name", "earthlab")
        cells = tuple(_code_cells(found["cells"]))
        document = json.dumps(found | {"cells": [_whole(cell) for cell in found["cells"]]})
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BadRequest(f"--notebook {path}: is not a notebook (nbformat 4). Save it from JupyterLab.") from exc
    if not cells:
        raise BadRequest(f"--notebook {path}: holds no code cell, expected at least one to run.")
    return Lesson(path=path, kernel=kernel, cells=cells, document=document)


def _whole(cell: Mapping[str, Any]) -> dict[str, Any]:
    # What editors may leave out of a cell, and a server insists on when it saves.
    code: dict[str, Any] = {"outputs": [], "execution_count": None} if cell.get("cell_type") == "code" else {}
    return {"metadata": {}, **code, **cell}


def _code_cells(raw: Iterable[Mapping[str, Any]]) -> Iterator[Cell]:
    words = number = 0
    for cell in raw:
        source = "".join(cell.get("source", ""))
        words += len(source.split())
        if cell.get("cell_type") == "code" and source.strip():
            number += 1
            tags = cell.get("metadata", {}).get("tags", [])
            yield Cell(number, source, words, may_fail="raises-exception" in tags)
            words = 0
