"""A service's book: a file a month, and for the operator alone."""

import json
import stat
from datetime import UTC, datetime

import pytest

from earthlab.services.book import Book


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path / "book", "ssh", lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))


def test_each_event_is_a_line_and_what_is_empty_is_left_out(book):
    book.write({"user": "ana", "exit": 0, "why": "", "urls": [], "port": None})
    book.write({"user": "two\nlines"})
    (file,) = book.folder.iterdir()
    assert file.name == "ssh-2026-11.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == {"time": "2026-11-21T12:00:00.000+00:00", "user": "ana", "exit": 0}
    assert lines[1]["user"] == "two\nlines"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(book.folder.stat().st_mode) == 0o700


def test_a_link_in_its_place_is_not_followed(book, tmp_path):
    book.folder.mkdir()
    (book.folder / "ssh-2026-11.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        book.write({"user": "ana"})
