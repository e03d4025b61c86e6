"""The user's own keys: from the environment, or from a file that nobody else can read. They are never settings.

The file is ``~/.config/earthlab/keys.toml`` (``XDG_CONFIG_HOME`` counts) with one table a provider::

    [mtd]
    access_key = "…"
    secret_key = "…"

    [geodes]
    key = "…"
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from earthlab.catalog.signing.signed import Hidden
from earthlab.errors import SetupError, did_you_mean

WORKER = "EARTHLAB_HUB_TOKEN_FILE"
"""Set where a Dask worker runs: it acts with a token of its own, and leaves the user's file alone."""

_PLAIN = re.compile(r"[\x21-\x7e]+")
"""What may stand in a header: no blank, no line end."""

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Key:
    """The parts of one key by name. No repr, message or pickle of it has a value.

    Raises
    ------
    SetupError
        Where a part is empty or has blanks, line ends or letters beyond ASCII: it was not copied well.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = dict(parts)
        del parts  # a traceback may show what a frame holds
        bad = [name for name, value in self._parts.items() if not isinstance(value, str) or not _PLAIN.fullmatch(value)]
        if bad:
            raise SetupError(
                f"The part {bad[0]!r} of a key is empty or has blanks, line ends or letters beyond ASCII. "
                "Copy it again from the provider's page."
            )

    def part(self, name: str) -> str:
        """The value of one part."""
        return self._parts[name]

    def has(self, name: str) -> bool:
        """Whether the key has the part."""
        return name in self._parts

    def strip_from(self, text: str) -> str:
        """The text with every part of the key taken out: a server may say it back."""
        for value in sorted(self._parts.values(), key=len, reverse=True):
            text = text.replace(value, "…")
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(frozenset(self._parts.items()))

    def __repr__(self) -> str:
        return f"Key({', '.join(self._parts)})"

    def __reduce__(self) -> NoReturn:
        """Refused: a key stays in its process."""
        raise TypeError("A key does not travel: each process finds its own.")


NO_KEY = Key({})


def find_key(provider: str, alternatives: Sequence[Mapping[str, str]], environ: Mapping[str, str]) -> Key | None:
    """The user's key for a provider, or None.

    Parameters
    ----------
    provider : str
        The provider's id: its table in the file.
    alternatives : sequence of mapping
        The forms a key may have, best first: the parts by name, each with its environment variable. A variable whose
        name ends with ``_FILE`` names a private file with the value, which may be renewed at any time.
    environ : mapping
        The environment to read.

    Raises
    ------
    SetupError
        Where a file may be read by others, is not the user's, or cannot be understood. The environment goes first:
        with the key there the user's file is not asked.
    """
    for form in alternatives:
        given = Hidden({part: _value(environ, variable) for part, variable in form.items()})
        if all(given.values()):
            return Key(given)
    if environ.get(WORKER):
        return None
    table = _table(keys_file(environ), provider)
    if not table:
        return None
    names = {part for form in alternatives for part in form}
    for name in table:
        if name not in names:
            raise SetupError(f"{keys_file(environ)}: [{provider}] has {name!r}. {did_you_mean(name, names)}")
    complete = next((form for form in alternatives if form.keys() <= table.keys()), None)
    if complete is None:
        raise SetupError(f"{keys_file(environ)}: [{provider}] is not a whole key. Expected {_spelled(alternatives)}.")
    return Key({part: table[part] for part in complete})


def keys_file(environ: Mapping[str, str]) -> Path:
    """Where the user's keys are, if anywhere."""
    config = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/nonexistent")) / ".config")
    return Path(config) / "earthlab" / "keys.toml"


def _spelled(alternatives: Iterable[Mapping[str, str]]) -> str:
    return " or ".join(" and ".join(form) for form in alternatives)


def _table(path: Path, provider: str) -> Mapping[str, Any]:
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    tables = _read(path, (state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size))
    if not isinstance(tables.get(provider, {}), dict):
        raise SetupError(f"{path}: {provider!r} is not a table. Write [{provider}] and the parts of the key below it.")
    return Hidden(tables.get(provider, {}))


@lru_cache(maxsize=1)
def _read(path: Path, _state: tuple[int, ...]) -> "_Tables":
    content = _Text(_read_private(path))
    fault = _fault(content)
    if fault:
        raise SetupError(f"{path} is not valid TOML ({fault}). Mend the file; no key is read from it until then.")
    return content.tables()


def _value(environ: Mapping[str, str], variable: str) -> str:
    if not variable.endswith("_FILE") or not environ.get(variable):
        return environ.get(variable, "")
    try:
        return _read_private(Path(environ[variable])).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


def _read_private(path: Path) -> bytes:
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_mode & _OPEN_TO_OTHERS or state.st_uid != os.geteuid():
            raise SetupError(
                f"{path} holds keys and has mode {stat.S_IMODE(state.st_mode):04o}, owner {state.st_uid}: expected "
                f"0600 and you alone ({os.geteuid()}). Run: chmod 600 {path}"
            )
        return file.read()


class _Text:
    """A file's content, which no traceback shows."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def tables(self) -> "_Tables":
        return _Tables(tomllib.loads(self._content.decode()))


class _Tables(dict[str, Any]):
    """The file's tables, which no traceback shows."""

    def __repr__(self) -> str:
        return f"keys of {', '.join(self)}"


def _fault(content: _Text) -> str:
    """What is wrong with the file, without the words that stand there."""
    try:
        content.tables()
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"line \d+", str(exc))
        return found[0] if found else "at its end"
    except UnicodeDecodeError:
        return "it is no UTF-8 text"
    return ""
