"""A workshop for all tests, and a book to write it into."""

import pytest

from earthlab.services.workshops.store import Lesson, Store
from earthlab.services.workshops.text import parse_workshop
from earthlab.testing.clocks import Clock

TEXT = """
slug = "neige"
opens = 2026-12-01T08:00:00
closes = 2026-12-01T18:00:00
seats = 3
contact = "atelier@example.org"
organisers = ["anne"]
trainers = ["ben"]
retention_days = 7
[title]
fr = "Neige des Pyrénées"
en = "Snow of the Pyrenees"
[[notebooks]]
path = "theia/neige.ipynb"
[[notebooks]]
path = "theia/glacier.ipynb"
part = 2
"""
LESSONS = (
    Lesson("theia/neige.ipynb", 1, ("c1", "c2", "c3"), ("c1",)),
    Lesson("theia/glacier.ipynb", 2, ("c1", "c2")),
)


@pytest.fixture
def workshop():
    return parse_workshop(TEXT)


@pytest.fixture
def clock(workshop):
    return Clock(workshop.opens.timestamp() + 600)


@pytest.fixture
def store(tmp_path, clock):
    found = Store(tmp_path / "workshops.sqlite", clock)
    yield found
    found.close()
