"""A workshop as one TOML that can be kept in git, and as the frozen value that everything else works with."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from earthlab.errors import BadRequest, SetupError, did_you_mean
from earthlab.hub.accounts import norm_person
from earthlab.settings import parse_bytes

T = TypeVar("T")

MOST_SEATS = 999
MOST_NOTEBOOKS = 40
MOST_WORKERS = 1000
"""Of a shared cluster in a text; how many a lab's machine takes is for its desk to say."""
LANGUAGES = ("fr", "en")

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CUBE = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,119}")
_CELL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACE = re.compile(r"[A-Za-z0-9_À-ÿ][A-Za-z0-9_À-ÿ .-]*")
_LONGEST_TEXT = 200
_LONGEST_LIFE = timedelta(days=31)
_MOST_RETENTION = 365
_SAMPLE = datetime(2026, 1, 1)  # noqa: DTZ001 - TOML's local date-time, whose zone stands beside it


@dataclass(frozen=True, slots=True)
class Source:
    """A git repository at one commit."""

    git: str
    commit: str


@dataclass(frozen=True, slots=True)
class Notebook:
    """One notebook of a workshop.

    ``path`` is its place in the lab's notebooks or in the repository of ``source``. Participants get those of ``part``
    1 at once and of later parts when the trainer unlocks them. ``checkpoints`` are ids of cells after which somebody
    can be set back.
    """

    path: str
    part: int = 1
    checkpoints: tuple[str, ...] = ()
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """All that is known of a workshop before it takes place. Memory in bytes; times know their zone."""

    slug: str
    title: Mapping[str, str]
    opens: datetime
    closes: datetime
    time_zone: str
    seats: int
    notebooks: tuple[Notebook, ...]
    contact: str
    organisers: tuple[str, ...]
    trainers: tuple[str, ...]
    memory: int = 2**30
    cores: float = 1.0
    cubes: tuple[str, ...] = ()
    languages: tuple[str, ...] = LANGUAGES
    """With the first of them the participants' page begins; the other stands beside."""
    retention_days: int = 14
    pairs: bool = False
    """Whether two participants may work in one notebook."""
    workers: int = 0
    """Of the cluster that all of the workshop share in its hours; 0 for none."""

    @property
    def parts(self) -> int:
        """The last part there is."""
        return max(notebook.part for notebook in self.notebooks)

    @property
    def forgotten(self) -> datetime:
        """When seats and data are deleted."""
        return self.closes + timedelta(days=self.retention_days)


_KEYS = (
    "slug", "opens", "closes", "time_zone", "seats", "languages", "contact", "organisers", "trainers",
    "retention_days", "pairs", "title", "seat", "cluster", "warm", "notebooks",
)  # fmt: skip


def parse_workshop(text: str) -> Workshop:
    """A workshop from its TOML.

    Raises
    ------
    BadRequest
        For what is not TOML, an unknown or missing key, and a value that cannot be; the message names the key.
    """
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise BadRequest(
            f"ce n’est pas du TOML, corrigez cet endroit. · the workshop is not valid TOML: {exc}. Mend this place."
        ) from exc
    return read_workshop(said)


def read_workshop(words: Mapping[str, Any]) -> Workshop:
    """A workshop from the tables of its TOML.

    Raises
    ------
    BadRequest
        For an unknown or missing key, and a value that cannot be; the message names the key.
    """
    return _build(_Table(words, "", _KEYS))


def to_toml(workshop: Workshop) -> str:
    """The TOML that `parse_workshop` reads back to an equal workshop."""
    lines = [
        f"slug = {_quote(workshop.slug)}",
        f"opens = {workshop.opens:%Y-%m-%dT%H:%M:%S}",
        f"closes = {workshop.closes:%Y-%m-%dT%H:%M:%S}",
        f"time_zone = {_quote(workshop.time_zone)}",
        f"seats = {workshop.seats}",
        f"languages = {_quote_all(workshop.languages)}",
        f"contact = {_quote(workshop.contact)}",
        f"organisers = {_quote_all(workshop.organisers)}",
        f"trainers = {_quote_all(workshop.trainers)}",
        f"retention_days = {workshop.retention_days}",
        f"pairs = {json.dumps(workshop.pairs)}",
        "",
        "[title]",
        *(f"{language} = {_quote(words)}" for language, words in workshop.title.items()),
        "",
        "[seat]",
        f"memory = {_quote(render_bytes(workshop.memory))}",
        f"cores = {float(workshop.cores)!r}",
        *(["", "[cluster]", f"workers = {workshop.workers}"] if workshop.workers else []),
        "",
        "[warm]",
        f"cubes = {_quote_all(workshop.cubes)}",
    ]
    for notebook in workshop.notebooks:
        lines += ["", "[[notebooks]]", f"path = {_quote(notebook.path)}", f"part = {notebook.part}"]
        if notebook.checkpoints:
            lines.append(f"checkpoints = {_quote_all(notebook.checkpoints)}")
        if notebook.source:
            lines += [f"git = {_quote(notebook.source.git)}", f"commit = {_quote(notebook.source.commit)}"]
    return "\n".join(lines) + "\n"


def render_bytes(amount: int) -> str:
    """Bytes in the largest binary unit in which they are a whole number."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if amount % 1024**power == 0:
            return f"{amount // 1024**power} {unit}"
    return f"{amount} B"


def _build(said: "_Table") -> Workshop:
    zone = said.take("time_zone", _zone, default="Europe/Paris")
    seat = said.table("seat", ("memory", "cores"))
    workshop = Workshop(
        slug=said.take("slug", _matching(_SLUG, "1 to 20 of a-z 0-9 -, a letter or digit first and last")),
        title=_title(said.table("title", LANGUAGES)),
        opens=said.take("opens", _moment(zone)),
        closes=said.take("closes", _moment(zone)),
        time_zone=zone,
        seats=said.take("seats", _whole(1, MOST_SEATS)),
        notebooks=_notebooks(said),
        contact=said.take("contact", _line),
        organisers=said.take("organisers", _list(norm_person, "user names", least=1)),
        trainers=said.take("trainers", _list(norm_person, "user names"), default=()),
        memory=seat.take("memory", _bytes, default=2**30),
        cores=seat.take("cores", _cores, default=1.0),
        cubes=said.table("warm", ("cubes",)).take("cubes", _list(_matching(_CUBE, "a cube"), "cubes"), default=()),
        languages=said.take("languages", _list(_language, "languages", least=1), default=LANGUAGES),
        retention_days=said.take("retention_days", _whole(0, _MOST_RETENTION), default=14),
        pairs="pairs" in said.words and said.take("pairs", _yes_or_no),
        workers=_workers(said.table("cluster", ("workers",))) if "cluster" in said.words else 0,
    )
    if not workshop.opens < workshop.closes <= workshop.opens + _LONGEST_LIFE:
        raise BadRequest(
            f"closes: une heure après opens, de {_LONGEST_LIFE.days} jours au plus. · "
            f"found {workshop.closes:%Y-%m-%d %H:%M}, expected a time after opens "
            f"({workshop.opens:%Y-%m-%d %H:%M}) and at most {_LONGEST_LIFE.days} days later."
        )
    if missing := [language for language in workshop.languages if language not in workshop.title]:
        raise BadRequest(
            f"title.{missing[0]}: donnez le titre dans chaque langue de l’atelier. · "
            "missing. Give the title in each of the workshop's languages."
        )
    return workshop


def _workers(said: "_Table") -> int:
    return said.take("workers", _whole(1, MOST_WORKERS))


def _title(said: "_Table") -> dict[str, str]:
    return {language: said.take(language, _line) for language in LANGUAGES if language in said.words}


def _notebooks(said: "_Table") -> tuple[Notebook, ...]:
    rows = said.words.get("notebooks")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_NOTEBOOKS:
        raise BadRequest(
            f"notebooks: de 1 à {MOST_NOTEBOOKS} notebooks, chacun avec son chemin. · "
            f"expected 1 to {MOST_NOTEBOOKS} tables [[notebooks]], each with a path."
        )
    found = tuple(_notebook(row, f"notebooks[{number}]") for number, row in enumerate(rows, 1))
    for number, notebook in enumerate(found, 1):
        if notebook.path in [other.path for other in found[: number - 1]]:
            raise BadRequest(
                f"notebooks[{number}].path: {notebook.path} y est deux fois, enlevez-en un. · "
                "It stands there twice. Remove one."
            )
    if [n.part for n in found] != sorted(n.part for n in found) or {n.part for n in found} != set(
        range(1, found[-1].part + 1)
    ):
        raise BadRequest(
            "notebooks: les parties commencent à 1 et montent dans l’ordre des carnets, sans trou. · "
            "parts begin with 1 and rise in the order of the notebooks, without holes."
        )
    return found


def _notebook(row: Any, where: str) -> Notebook:
    if not isinstance(row, dict):
        raise BadRequest(f"{where}: donnez son chemin. · expected a table with a path.")
    said = _Table(row, f"{where}.", ("path", "part", "checkpoints", "git", "commit"))
    source = None
    if {"git", "commit"} & set(row):
        source = Source(said.take("git", parse_git), said.take("commit", _matching(_COMMIT, "40 hex digits")))
    return Notebook(
        path=said.take("path", parse_place),
        part=said.take("part", _whole(1, MOST_NOTEBOOKS), default=1),
        checkpoints=said.take("checkpoints", _list(_matching(_CELL, "a cell's id"), "ids of cells"), default=()),
        source=source,
    )


def parse_place(text: str) -> str:
    """The path of a notebook below a folder, in which no step leads up or to a hidden file.

    Raises
    ------
    BadRequest
        For any other text.
    """
    steps = _line(text).split("/")
    if not text.endswith(".ipynb") or len(text) > _LONGEST_TEXT or not all(_PLACE.fullmatch(step) for step in steps):
        raise BadRequest(
            f'le chemin d’un carnet, comme "theia/neige.ipynb". · '
            f'found {text!r}, expected the place of a notebook, as "theia/neige.ipynb".'
        )
    if any(step.endswith((" ", ".")) for step in steps):
        raise BadRequest(
            f"une étape du chemin finit par un blanc ou un point, renommez-la. · "
            f"found {text!r}, a step of which ends with a blank or a dot. Rename it."
        )
    return str(PurePosixPath(*steps))


def parse_git(text: str) -> str:
    """The address of a repository: ``https`` without password or port tricks, or a folder of this machine.

    Raises
    ------
    BadRequest
        For any other address.
    """
    parts = urlsplit(_line(text))
    https = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
    folder = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    if not (https or folder) or parts.query or parts.fragment or ".." in parts.path.split("/"):
        raise BadRequest(
            f"une adresse https://… sans nom ni mot de passe, ou file:///…. · "
            f"found {text!r}, expected https://… without name and password, or file:///…."
        )
    return text


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the TOML; refuses keys it does not know, by their names."""

    words: Mapping[str, Any]
    where: str
    known: Sequence[str]

    def __post_init__(self) -> None:
        for key in self.words:
            if key not in self.known:
                raise BadRequest(
                    f"{self.where}{key}: cette clé n’existe pas. · no such key. {did_you_mean(key, self.known)}"
                )

    def take(self, key: str, parse: Callable[[Any], T], *, default: Any = None) -> T:
        if key not in self.words:
            if default is None:
                raise BadRequest(f"{self.where}{key}: à remplir. · missing.")
            found: T = default
            return found
        try:
            return parse(self.words[key])
        except (BadRequest, SetupError) as exc:
            raise BadRequest(f"{self.where}{key}: {exc}") from exc

    def table(self, key: str, known: Sequence[str]) -> "_Table":
        words = self.words.get(key, {})
        if not isinstance(words, dict):
            raise BadRequest(f"{self.where}{key}: une table [{key}]. · found {words!r}, expected a table [{key}].")
        return _Table(words, f"{self.where}{key}.", known)


def _line(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise BadRequest(
            f"une ligne de 1 à {_LONGEST_TEXT} caractères. · "
            f"found {value!r}, expected one line of 1 to {_LONGEST_TEXT} characters."
        )
    return value


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise BadRequest(f"attendu · expected: {expected}; found {value!r}.")
        return value

    return parse


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadRequest(
                f"un entier de {least} à {most}. · found {value!r}, expected a whole number from {least} to {most}."
            )
        return value

    return parse


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"true ou false. · found {value!r}, expected true or false.")
    return value


def _cores(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 256:
        raise BadRequest(f"un nombre de 0.1 à 256. · found {value!r}, expected a number from 0.1 to 256.")
    return float(value)


def _bytes(value: Any) -> int:
    amount = parse_bytes(value if isinstance(value, str) else repr(value), "memory")
    if not 128 * 2**20 <= amount <= 2**40:
        raise BadRequest(f'de "128 MiB" à "1 TiB". · found {value!r}, expected "128 MiB" to "1 TiB".')
    return amount


def _language(value: Any) -> str:
    if value not in LANGUAGES:
        raise BadRequest(f"parmi {', '.join(LANGUAGES)}. · found {value!r}, expected one of {', '.join(LANGUAGES)}.")
    return str(value)


def _list(parse: Callable[[Any], T], what: str, *, least: int = 0) -> Callable[[Any], tuple[T, ...]]:
    def parse_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not least <= len(value) <= 200:
            raise BadRequest(
                f"une liste{', pas vide' if least else ''}. · "
                f"found {value!r}, expected a list of {what}{', not empty' if least else ''}."
            )
        if not all(isinstance(each, str) for each in value):
            raise BadRequest(f"des textes. · found {value!r}, expected texts.")
        found = tuple(dict.fromkeys(parse(each) for each in value))
        if len(found) != len(value):
            raise BadRequest(f"l’un y est deux fois. · found {value!r}, in which one stands twice.")
        return found

    return parse_all


def _zone(value: Any) -> str:
    if isinstance(value, str):
        try:
            return ZoneInfo(value).key
        except (ValueError, OSError, ZoneInfoNotFoundError):
            pass
    raise BadRequest(
        f"ce fuseau horaire n’existe pas. · found {value!r}, which is no time zone. "
        f"{did_you_mean(value, available_timezones())}"
    )


def _moment(zone: str) -> Callable[[Any], datetime]:
    def parse(value: Any) -> datetime:
        if not isinstance(value, datetime) or value.tzinfo is not None or not 2000 <= value.year <= 9000:
            raise BadRequest(
                f"une date et une heure comme {_SAMPLE:%Y-%m-%dT%H:%M:%S}. · "
                f"found {value!s}, expected a date and time as {_SAMPLE:%Y-%m-%dT%H:%M:%S}; the zone is time_zone."
            )
        moment = value.replace(microsecond=0, tzinfo=ZoneInfo(zone))
        if moment.astimezone(ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != value.replace(
            microsecond=0
        ):
            raise BadRequest(
                f"cette heure n’existe pas à {zone}, prenez-en une autre. · "
                f"found {value!s}, which the clocks of {zone} jump over. Take another hour."
            )
        return moment

    return parse


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _quote_all(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_quote, texts))}]"
