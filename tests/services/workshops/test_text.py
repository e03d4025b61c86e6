"""One TOML is one workshop: it comes back as it went, and nonsense is refused by its name."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.workshops.text import (
    Notebook,
    Source,
    Workshop,
    parse_git,
    parse_place,
    parse_workshop,
    render_bytes,
    to_toml,
)

PARIS = ZoneInfo("Europe/Paris")
TEXT = """
slug = "neige-2026"
opens = 2026-12-01T08:00:00
closes = 2026-12-01T18:00:00
seats = 30
contact = "atelier@example.org"
organisers = ["anne"]

[title]
fr = "Neige des Pyrénées"
en = "Snow of the Pyrenees"

[[notebooks]]
path = "theia/neige.ipynb"
"""

words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60)
names = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)
places = st.from_regex(r"[a-zé][a-z0-9_-]{0,8}(/[a-z][a-z0-9_-]{0,8}){0,2}\.ipynb", fullmatch=True)
sources = st.none() | st.builds(
    Source,
    git=st.sampled_from(["https://example.org/a/b.git", "file:///srv/git/b"]),
    commit=st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
)


@st.composite
def workshops(draw):
    opens = draw(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1))).replace(microsecond=0, hour=9, tzinfo=PARIS)  # noqa: DTZ001
    found = draw(st.lists(places, min_size=1, max_size=4, unique=True))
    parts = sorted(draw(st.lists(st.integers(0, 1), min_size=len(found), max_size=len(found))))
    numbered = [1 + sum(parts[1 : n + 1]) for n in range(len(found))]
    ids = st.lists(st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True), max_size=3, unique=True).map(tuple)
    return Workshop(
        slug=draw(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)),
        title={"fr": draw(words), "en": draw(words)},
        opens=opens,
        closes=opens + timedelta(hours=draw(st.integers(1, 48))),
        time_zone="Europe/Paris",
        seats=draw(st.integers(1, 999)),
        notebooks=tuple(
            Notebook(place, part, draw(ids), draw(sources)) for place, part in zip(found, numbered, strict=True)
        ),
        contact=draw(words),
        organisers=tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True))),
        trainers=tuple(draw(st.lists(names, max_size=3, unique=True))),
        memory=draw(st.integers(128 * 2**20, 2**40)),
        cores=draw(st.floats(0.1, 256)),
        cubes=tuple(draw(st.lists(st.from_regex(r"cube:[a-f0-9]{4,8}", fullmatch=True), max_size=3, unique=True))),
        retention_days=draw(st.integers(0, 365)),
        workers=draw(st.integers(0, 1000)),
    )


@given(workshops())
@settings(max_examples=60)
def test_a_workshop_comes_back_from_its_toml_as_it_went(workshop):
    assert parse_workshop(to_toml(workshop)) == workshop


def test_a_short_text_is_enough_and_the_rest_has_defaults():
    workshop = parse_workshop(TEXT)
    assert workshop.opens == datetime(2026, 12, 1, 8, tzinfo=PARIS)
    assert workshop.memory == 2**30
    assert workshop.parts == 1
    assert workshop.trainers == ()
    assert workshop.workers == 0
    assert "[cluster]" not in to_toml(workshop)
    assert workshop.forgotten == datetime(2026, 12, 15, 18, tzinfo=PARIS)


def with_line(found, instead):
    assert found in TEXT
    return TEXT.replace(found, instead)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("slug =", "not valid TOML"),
        (with_line("seats = 30", "seat = 30"), "seat"),
        (with_line("seats = 30", "seats = 0"), "seats: .*found 0"),
        (with_line("seats = 30", "seats = true"), "seats: .*found True"),
        (with_line("seats = 30", "seets = 30"), "seets: .*no such key. Nearest: seats"),
        (with_line("seats = 30", ""), "seats: .*missing"),
        (with_line('"neige-2026"', '"Neige 2026"'), "slug"),
        (with_line('"neige-2026"', f'"{"a" * 21}"'), "slug"),
        (with_line("T18:00:00", "T07:00:00"), "closes"),
        (with_line("closes = 2026-12-01", "closes = 2027-12-01"), "closes"),
        (with_line("T08:00:00", "T08:00:00+01:00"), "opens"),
        (with_line("opens = 2026-12-01T08", "opens = 2026-03-29T02"), "opens: .*jump over"),
        (with_line("seats = 30", 'seats = 30\ntime_zone = "Europe/Pariss"'), "time_zone: .*Europe/Paris"),
        (with_line("seats = 30", 'seats = 30\ntime_zone = "../../etc/passwd"'), "time_zone"),
        (with_line("seats = 30", "seats = 30\ntime_zone = 2"), "time_zone"),
        (with_line('en = "Snow of the Pyrenees"', ""), "title.en"),
        (with_line('en = "Snow', 'de = "x"\nen = "Snow'), "title.de"),
        (with_line('"Snow of the Pyrenees"', '"a\\nb"'), "title.en"),
        (with_line('["anne"]', "[]"), "organisers"),
        (with_line('["anne"]', '["anne", "Anne"]'), "organisers: .*twice"),
        (with_line('["anne"]', '["anne!"]'), "organisers"),
        (with_line("theia/neige.ipynb", "../neige.ipynb"), r"notebooks\[1\]\.path"),
        (with_line("theia/neige.ipynb", "/etc/neige.ipynb"), r"notebooks\[1\]\.path"),
        (TEXT + 'commit = "abc"\n', r"notebooks\[1\]\.git: .*missing"),
        (TEXT + "part = 2\n", "parts begin with 1"),
        (TEXT + '[[notebooks]]\npath = "theia/neige.ipynb"\n', "twice"),
        (TEXT + 'author = "x"\n', r"notebooks\[1\]\.author"),
        (TEXT + '[seat]\nmemory = "1 MiB"\n', "seat.memory"),
        (TEXT + "[seat]\nmemory = 1e999\n", "seat.memory"),
        (TEXT + "[seat]\ncores = 0\n", "seat.cores"),
        (TEXT + '[seat]\ndisk = "1 GiB"\n', "seat.disk"),
        (TEXT + "[cluster]\nworkers = 0\n", "cluster.workers: .*found 0"),
        (TEXT + "[cluster]\nworkers = true\n", "cluster.workers: .*found True"),
        (TEXT + "[cluster]\n", "cluster.workers: .*missing"),
        (TEXT + "[cluster]\nworkers = 2\nmemory = 1\n", "cluster.memory: .*no such key"),
        (with_line("seats = 30", "seats = 30\ncluster = 4"), "cluster: .*expected a table"),
        (TEXT + "[grappe]\nworkers = 1\n", "grappe"),
        (TEXT + '[warm]\ncubes = ["../x"]\n', "warm.cubes"),
    ],
)
def test_nonsense_is_refused_by_its_name(text, named):
    with pytest.raises(BadRequest, match=named):
        parse_workshop(text)


@pytest.mark.parametrize(
    "place", ["a.txt", "a/../b.ipynb", ".hidden/a.ipynb", "a//b.ipynb", "/a.ipynb", "a\x00.ipynb", "", "a. /b.ipynb"]
)
def test_a_place_leads_nowhere_else(place):
    with pytest.raises(BadRequest):
        parse_place(place)


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/a", "ssh://git@example.org/a", "git@example.org:a", "https://me:secret@example.org/a",
        "https:///a", "file://host/a", "file:relative", "ext::sh -c id", "--upload-pack=x", "file:///srv/../etc",
        "https://example.org/a?x=1",
    ],
)  # fmt: skip
def test_only_https_and_folders_are_repositories(address):
    with pytest.raises(BadRequest):
        parse_git(address)


def test_sizes_are_written_in_the_largest_unit_that_is_exact():
    assert [render_bytes(n) for n in (2**30, 1536 * 2**20, 1025)] == ["1 GiB", "1536 MiB", "1025 B"]
