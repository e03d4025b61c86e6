"""Who had what signed, and what was refused: one line of JSON each, without a secret."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from earthlab.catalog.signing import unsigned
from earthlab.services.book import Book


@dataclass(frozen=True, slots=True)
class Audit:
    """A file a month, only ever appended to, and readable by the operator alone."""

    folder: Path
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def note(self, *, user: str, action: str, provider: str, rule: str, outcome: str, urls: Sequence[str] = ()) -> None:
        """Append one line; ``urls`` are written without signature or query."""
        line = {
            "user": user,
            "action": action,
            "provider": provider,
            "rule": rule,
            "outcome": outcome,
            "urls": [unsigned(url).partition("?")[0] for url in urls],
        }
        Book(self.folder, "signing", self.now).write(line)
