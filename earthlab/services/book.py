"""A book that a service keeps: one line of JSON for each event, without a secret."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Book:
    """A file a month, called after the service, only ever appended to, and readable by the operator alone."""

    folder: Path
    name: str
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line with the time of this moment; what is empty is left out."""
        moment = self.now()
        said = {"time": moment.isoformat(timespec="milliseconds"), **line}
        text = json.dumps({word: value for word, value in said.items() if value not in ("", None, [])})
        with _lock, self._open(moment) as file:
            file.write(f"{text}\n")

    def _open(self, moment: datetime) -> TextIO:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{self.name}-{moment:%Y-%m}.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")
