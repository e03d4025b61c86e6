"""From a theme as people say it, or a concept of a thesaurus, to the collections that have it.

The words are those of ``themes.toml`` and of the collections' own descriptors, in French and English; case, accents,
number and little words do not matter: ``"Humidité des sols"`` is ``"humidite du sol"``.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from earthlab.catalog.profiles import CollectionProfile, load_poles
from earthlab.errors import BadRequest, did_you_mean

_LITTLE = frozenset({"a", "au", "aux", "d", "de", "des", "du", "en", "et", "l", "la", "le", "les", "of", "the", "and"})


@dataclass(frozen=True, slots=True)
class Theme:
    """What people ask for under several names. ``narrower`` are ids of themes that belong to it."""

    id: str
    fr: tuple[str, ...]
    en: tuple[str, ...]
    concepts: tuple[str, ...] = ()
    narrower: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Every name of it, French first."""
        return (*self.fr, *self.en)


def resolve_theme(word: str) -> tuple[str, ...]:
    """The collections that have a theme.

    Parameters
    ----------
    word : str
        A word or synonym in French or English, or the address of a concept.

    Returns
    -------
    tuple of str
        Ids of collections in the order of the descriptors, those of narrower themes among them.

    Raises
    ------
    BadRequest
        Where no theme is called so, with the nearest words; or where no collection has it.
    """
    themes = _themes_called(word)
    marks = _asked_marks(word)
    profiles = [profile for pole in load_poles() for profile in pole.collections]
    found = tuple(profile.id for profile in profiles if not marks.isdisjoint(_profile_marks(profile)))
    if found:
        return found
    if themes:
        raise BadRequest(f"theme: no collection has {word!r}. {did_you_mean(word, _known_words(profiles))}")
    raise BadRequest(
        f"theme: found {word!r}, expected a word such as 'neige' or 'snow', or the address of a concept. "
        f"{did_you_mean(word, _known_words(profiles))}"
    )


def has_theme(word: str, words: Iterable[str]) -> bool:
    """Whether one of ``words`` means a theme or a narrower one, or contains the word as it was typed so far."""
    marks, typed = _asked_marks(word), norm_word(word)
    return any(norm_word(found) in marks or typed in norm_word(found) for found in words)


def _themes_called(word: str) -> tuple[Theme, ...]:
    asked = norm_word(word)
    return tuple(_with_narrower(theme for theme in load_themes().values() if asked in _marks(theme)))


@lru_cache(maxsize=256)
def _asked_marks(word: str) -> frozenset[str]:
    return frozenset({norm_word(word), *(mark for theme in _themes_called(word) for mark in _marks(theme))})


@lru_cache(maxsize=1)
def load_themes() -> Mapping[str, Theme]:
    """Every theme of ``themes.toml`` by its id."""
    tables = tomllib.loads((files("earthlab.catalog") / "themes.toml").read_text("utf-8"))["themes"]
    parsed = {name: {word: tuple(words) for word, words in table.items()} for name, table in tables.items()}
    return {name: Theme(name, **words) for name, words in parsed.items()}


@lru_cache(maxsize=4096)
def norm_word(word: str) -> str:
    """A word or an address in the form in which two of them are compared."""
    if "://" in word:
        return re.sub(r"^https?://(www\.)?", "", word.strip()).rstrip("/")
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))
    tokens = re.findall(r"[a-z0-9]+", plain)
    return " ".join(_singular(token) for token in tokens if token not in _LITTLE)


def _singular(token: str) -> str:
    """One form for singular and plural, of both languages at once; it need not be a word of either."""
    if len(token) > 4 and token.endswith("aux") and not token.endswith("eaux"):
        return token[:-3] + "al"
    if len(token) > 3 and token[-1] in "sx" and not token.endswith("ss"):
        token = token[:-1]
    return re.sub(r"(?<=..)(y|ie)$", "i", token)


def _with_narrower(themes: Iterable[Theme]) -> Iterator[Theme]:
    known, waiting, seen = load_themes(), list(themes), set[str]()
    while waiting:
        theme = waiting.pop(0)
        if theme.id not in seen:
            seen.add(theme.id)
            waiting += [known[name] for name in theme.narrower]
            yield theme


def _marks(theme: Theme) -> set[str]:
    return {norm_word(word) for word in (*theme.words, *theme.concepts)}


def _profile_marks(profile: CollectionProfile) -> set[str]:
    words = (word for words in profile.themes.values() for word in words)
    return {norm_word(word) for word in (*words, *profile.concepts)}


def _known_words(profiles: Iterable[CollectionProfile]) -> Iterator[str]:
    yield from (word for theme in load_themes().values() for word in theme.words)
    yield from (word for profile in profiles for words in profile.themes.values() for word in words)
