"""Who may read what: the rules of licensed collections, judged from what the hub says of a person.

A rule asks for three things, and a verdict names the first that is missing: a category of users that may read, an
organisation that has signed the charter and whose charter is in force, and the hub's scope, which the lab grants to the
groups of these categories. Quotas concern orders of new images, never reading; they are shown and not counted here.
Nothing in this module reads more than the shipped tables.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from earthlab.errors import SetupError
from earthlab.settings import load_settings

OPEN = "open"
"""The access of what anybody may read."""

Words = Mapping[str, str]
"""A sentence by language, ``fr`` and ``en``."""


@dataclass(frozen=True, slots=True)
class OrderQuota:
    """What a category of users may order: km² free of charge, and euros per km² beyond. ``None``: not known."""

    product: str
    free_km2: float
    beyond_eur_km2: float | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of users, who are the members of one group of the hub."""

    group: str
    title: Words = field(hash=False)
    reads: bool
    orders: tuple[OrderQuota, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What reading a licensed collection takes. ``charter`` names the property of an organisation's group."""

    id: str
    title: Words = field(hash=False)
    scope: str
    charter: str
    reason: Words = field(hash=False)
    how: Words = field(hash=False)
    source: str
    categories: tuple[Category, ...]
    hrefs: tuple[str, ...] = ()
    """Beginnings of the addresses it guards, each up to a slash."""

    def guards(self, href: str) -> bool:
        """Whether an address, as `norm_address` gives it, is one of those; a guarded folder itself is one too."""
        return f"{href}/".startswith(self.hrefs)

    @property
    def readers(self) -> tuple[str, ...]:
        """The groups whose members may read."""
        return tuple(category.group for category in self.categories if category.reads)


@dataclass(frozen=True, slots=True)
class Person:
    """What the hub says of somebody: the groups, what is written of each group, and the scopes of the token in use.

    A charter is written as a property of a group: ``{"dinamis-charter": "2026-01-15"}`` for the day it was signed, or
    ``"2026-01-15/2028-12-31"`` where it ends.
    """

    name: str
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    scopes: frozenset[str] = frozenset()
    shared: bool = False
    """Whether several people use the account, as the seats of a class."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether somebody may read, and where not, what is missing and how to get the right."""

    allowed: bool
    reason: Words = field(hash=False)
    how: Words = field(hash=False)
    category: Category | None = None

    def sentence(self) -> str:
        """Reason and way in both languages, French first."""
        return " / ".join(f"{self.reason[tongue]} {self.how[tongue]}".strip() for tongue in ("fr", "en"))


def judge(rule: Rule, person: Person, today: date) -> Verdict:
    """Whether a person may read what a rule guards, on a day."""
    category = next((c for c in rule.categories if c.reads and c.group in person.groups), None)
    other = next((c for c in rule.categories if c.group in person.groups), None)
    if person.shared:
        return _refused(rule, _SHARED, other)
    if category is None:
        return _refused(rule, _NO_CATEGORY if other is None else _ORDERS_ONLY, other)
    written = [properties[rule.charter] for properties in person.groups.values() if properties.get(rule.charter)]
    charters = [charter for charter in map(_parse_charter, written) if charter]
    if not charters:
        return _refused(rule, _UNREADABLE_CHARTER if written else _NO_CHARTER, category)
    if not any(begins <= today <= ends for begins, ends in charters):
        return _refused(rule, _CHARTER_OVER, category)
    if rule.scope not in person.scopes:
        return _refused(rule, _NO_SCOPE, category)
    return Verdict(
        allowed=True,
        reason={"fr": "Accès ouvert.", "en": "Access granted."},
        how={"fr": "", "en": ""},
        category=category,
    )


def find_rules(access: str) -> tuple[Rule, ...]:
    """The rules that an access class names: none for what is open, several where ids stand with ``--`` between them."""
    return tuple(rule for rule in load_rules() if rule.id in access.split("--"))


def load_rules() -> tuple[Rule, ...]:
    """Every rule of the descriptors in ``earthlab/poles``, in the order of their ids.

    A rule of the same id in the folder ``catalogue.descriptors`` takes its place: so an operator enters addresses and
    categories of their own.

    Raises
    ------
    SetupError
        Where a descriptor is not TOML or a rule cannot be understood.
    """
    return _load_rules(load_settings().catalogue.descriptors)


@lru_cache(maxsize=4)
def _load_rules(own: Path | None) -> tuple[Rule, ...]:
    shipped = [entry for entry in (files("earthlab") / "poles").iterdir() if entry.name.endswith(".toml")]
    added = sorted(own.glob("*.toml")) if own is not None else []
    rules = {rule.id: rule for entry in (*shipped, *added) for rule in _read_rules(entry)}
    return tuple(rules[name] for name in sorted(rules))


def _read_rules(entry: Traversable) -> list[Rule]:
    try:
        tables = tomllib.loads(entry.read_text("utf-8"))
    except tomllib.TOMLDecodeError as exc:
        raise SetupError(f"{entry.name} is not valid TOML: {exc}. Mend the file.") from exc
    return [parse_rule(table) for table in tables.get("rules", ())]


def parse_rule(table: Mapping[str, Any]) -> Rule:
    """The rule of one ``[[rules]]`` table.

    Raises
    ------
    SetupError
        Where a word is missing or not known.
    """
    try:
        categories = tuple(_parse_category(entry) for entry in table["categories"])
        plain = {word: value for word, value in table.items() if word not in {"categories", "hrefs"}}
        rule = Rule(**plain, categories=categories, hrefs=tuple(table.get("hrefs", ())))
    except (KeyError, TypeError) as exc:
        raise SetupError(f"rules: {table.get('id', 'a rule')!r} cannot be understood ({exc}). Mend its table.") from exc
    if len(rule.id) > _LONGEST_ID or not _ID.fullmatch(rule.id) or rule.id == OPEN:
        raise SetupError(
            f"rules: {rule.id!r} cannot name a rule: expected at most {_LONGEST_ID} of a-z, 0-9 and single hyphens "
            "between them, and not 'open': a group and a folder are called so."
        )
    for href in rule.hrefs:
        if norm_address(href) != href or not href.endswith("/"):
            raise SetupError(
                f"rules: {rule.id!r} guards {href!r}, which no address would be found to begin with. Expected the form "
                f"that addresses are compared in, up to a slash, as https://host/bucket/; here: {norm_address(href)}."
            )
    return rule


_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_LONGEST_ID = 14
"""The names of Unix groups have 32 letters."""


def _parse_category(table: Mapping[str, Any]) -> Category:
    orders = tuple(OrderQuota(**order) for order in table.get("orders", ()))
    return Category(table["group"], table["title"], table["reads"], orders)


def norm_address(href: str) -> str | None:
    """A web or S3 address in the one form that rules are compared with; ``None`` where it could be read in two ways.

    ``None`` for what is no absolute ``https`` or ``s3`` address (``http`` to this machine apart), and where there is a
    user name, a query, a host that is not plain ASCII, or a path with dots between slashes, doubled slashes, doubled
    escapes, backslashes or control characters.
    """
    if re.search(r"[\x00-\x20\x7f]", href):
        return None
    try:
        parts = urlsplit(href)
        host, port, path = (parts.hostname or "").removesuffix("."), parts.port, unquote(parts.path, errors="strict")
        canonical = quote(path, safe=_PLAIN)
    except ValueError:
        return None
    here = parts.scheme == "http" and host in _THIS_MACHINE and port is not None
    named = parts.scheme == "https" or here or (parts.scheme == "s3" and port is None)
    if not named or not _HOST.fullmatch(host) or re.search(r"[@\[]", parts.netloc) or parts.query or parts.fragment:
        return None
    return None if _AMBIGUOUS.search(path) else f"{parts.scheme}://{host}{_shown_port(port)}{canonical}"


def _shown_port(port: int | None) -> str:
    return "" if port in {None, 443} else f":{port}"


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PLAIN = "/-._~!$&'()*+,;=:@"
_THIS_MACHINE = {"127.0.0.1", "localhost"}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.))*(?<=[a-z0-9])", re.ASCII)
_AMBIGUOUS = re.compile(r"(^|/)\.{1,2}(;[^/]*)?(/|$)|//|[\\%\x00-\x1f\x7f]")


def _parse_charter(text: str) -> tuple[date, date] | None:
    """First and last day of ``2026-01-15`` or ``2026-01-15/2028-12-31``; ``None`` for anything else."""
    begins, ends = text, date.max.isoformat()
    if "/" in text:
        begins, ends = text.split("/", 1)
    if not _DAY.fullmatch(begins) or not _DAY.fullmatch(ends):
        return None
    try:
        first, last = date.fromisoformat(begins), date.fromisoformat(ends)
    except ValueError:
        return None
    return (first, last) if first <= last else None


def _refused(rule: Rule, missing: Words, category: Category | None) -> Verdict:
    reason = {tongue: f"{missing[tongue]} {rule.reason[tongue]}" for tongue in missing}
    return Verdict(allowed=False, reason=reason, how=rule.how, category=category)


_SHARED = {
    "fr": "Ce compte est partagé, et ces droits sont nominatifs.",
    "en": "This account is shared, and these rights are personal.",
}
_NO_CATEGORY = {
    "fr": "Votre compte n’est d’aucune catégorie qui lise ces images.",
    "en": "Your account is of no category that reads these images.",
}
_ORDERS_ONLY = {
    "fr": "Votre catégorie peut commander de nouvelles images, pas lire celles-ci.",
    "en": "Your category may order new images, and not read these.",
}
_NO_CHARTER = {
    "fr": "Aucun de vos organismes n’a ici de charte signée.",
    "en": "None of your organisations has a signed charter here.",
}
_UNREADABLE_CHARTER = {
    "fr": (
        "La date de la charte de votre organisme ne peut être lue : l’exploitant du laboratoire doit l’écrire ainsi, "
        "2026-01-15 ou 2026-01-15/2028-12-31."
    ),
    "en": (
        "The date of your organisation's charter cannot be read: the lab's operator has to write it so, 2026-01-15 or "
        "2026-01-15/2028-12-31."
    ),
}
_CHARTER_OVER = {
    "fr": "La charte de votre organisme n’est pas en vigueur à ce jour.",
    "en": "Your organisation's charter is not in force today.",
}
_NO_SCOPE = {
    "fr": "Le jeton de cette session n’a pas encore ce droit : redémarrez votre serveur.",
    "en": "This session's token does not hold the right yet: restart your server.",
}
