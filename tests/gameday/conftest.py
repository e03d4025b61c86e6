"""A day of faults, with real processes: what people see, what is lost, and what recovers by itself.

In `make test` each fault lasts seconds; `make game-day` lets it last a minute and writes what was found.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

LASTS = float(os.environ.get("EARTHLAB_GAME_DAY_SECONDS", "5"))
"""Seconds of a fault."""

_HEAD = "| fault | who | sees | lost | again as before after |\n|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Line:
    fault: str
    who: str
    sees: str
    lost: str
    back: float | None
    """Seconds from the fault's end until all was as before; None where nobody noticed it."""


@dataclass(slots=True)
class Day:
    lines: list[Line] = field(default_factory=list)

    def note(self, fault: str, who: str, sees: str, *, lost: str = "nothing", back: float | None = None) -> None:
        self.lines.append(Line(fault, who, " ".join(sees.split()), lost, back))

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "game-day.json").write_text(
            json.dumps({"seconds": LASTS, "lines": [asdict(line) for line in self.lines]}, indent=1, ensure_ascii=False)
        )
        rows = (
            f"| {line.fault} | {line.who} | {line.sees.replace('|', '/')} | {line.lost} | "
            f"{'at once' if line.back is None else f'{line.back:.1f} s'} |\n"
            for line in self.lines
        )
        (folder / "game-day.md").write_text(f"Each fault lasted {LASTS:g} s.\n\n{_HEAD}{''.join(rows)}")


@pytest.fixture(scope="session")
def day():
    found = Day()
    yield found
    if folder := os.environ.get("EARTHLAB_GAME_DAY"):
        found.write(Path(folder))


@pytest.fixture
def stopwatch():
    """Seconds since it was made, or started anew."""

    class Stopwatch:
        def __init__(self):
            self.start()

        def start(self):
            self.began = time.monotonic()

        def read(self):
            return time.monotonic() - self.began

    return Stopwatch()
