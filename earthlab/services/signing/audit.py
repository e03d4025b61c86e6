"""Who had what signed, and what was refused: one line of JSON each, without a secret."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from earthlab.catalog.signing import unsigned

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Audit:
    """A file a month, only ever appended to, and readable by the operator alone."""

    folder: Path
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def note(self, *, user: str, action: str, provider: str, rule: str, outcome: str, urls: Sequence[str] = ()) -> None:
        """Append one line; ``urls`` are written without signature or query."""
        moment = self.now()
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "user": user,
            "action": action,
            "provider": provider,
            "rule": rule,
            "outcome": outcome,
            "urls": [unsigned(url).partition("?")[0] for url in urls],
        }
        text = json.dumps({word: value for word, value in line.items() if value})
        with _lock, self._open(moment) as file:
            file.write(f"{text}\n")

    def _open(self, moment: datetime) -> TextIO:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"signing-{moment:%Y-%m}.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")
