"""What the broker does with a request: judge it by the rules, sign it with the right key, and write it down."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from earthlab.catalog.signing import Key, Signed, unsigned
from earthlab.errors import BadRequest, NotAllowed, SetupError
from earthlab.rights import Person, Rule, Verdict, judge, norm_address
from earthlab.services.signing.audit import Audit
from earthlab.services.signing.keys import LAB, KeyVault

MOST_URLS = 64
LONGEST_URL = 4096
LONGEST_LIFE = 3600.0
"""Seconds that the broker promises for a signed address at most, whatever the provider grants."""


class Upstream(Protocol):
    """A provider's way of signing, with one key."""

    def sign_many(self, hrefs: list[str]) -> Mapping[str, Signed]:
        """The signed addresses by their unsigned ones."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider whose addresses the broker can sign.

    ``match`` says whether an address is the provider's, ``open`` makes its way of signing with a key, or without one
    where ``keyless``. ``header`` is true where no address is signed but a key is sent along: that key is its owner's,
    and cannot be handed on. ``parts`` are the names of a key's parts, in each form that it may have.
    """

    id: str
    match: Callable[[str], bool]
    open: Callable[[Mapping[str, str] | None], Upstream]
    keyless: bool = False
    header: bool = False
    parts: tuple[frozenset[str], ...] = ()

    def require_key(self, key: object) -> None:
        """Nothing, for a key of one of the provider's forms.

        Raises
        ------
        BadRequest
            For anything else, so that its owner hears of it now and not at the first read.
        """
        if not isinstance(key, Mapping) or frozenset(key) not in self.parts:
            forms = " or ".join(" and ".join(sorted(form)) for form in self.parts)
            raise BadRequest(f"key: expected an object with the parts {forms} of {self.id}.")
        try:
            Key(key)
        except SetupError as exc:
            raise BadRequest(f"key: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Desk:
    """The broker's rules, keys, providers and book."""

    rules: tuple[Rule, ...]
    providers: tuple[Provider, ...]
    vault: KeyVault
    audit: Audit
    today: Callable[[], date] = lambda: datetime.now(UTC).date()

    def sign(self, person: Person, urls: Sequence[str]) -> dict[str, Signed]:
        """The signed addresses by the unsigned ones asked for: all of them, or none.

        Raises
        ------
        BadRequest
            For what is not an address of a known provider.
        NotAllowed
            Where a rule refuses the person, or nobody has a key for the provider.
        """
        asked = [norm_url(url) for url in urls]
        groups: dict[str, list[str]] = {}
        for url in asked:
            self._require_right(person, url)
            groups.setdefault(self._find_provider(url).id, []).append(url)
        found: dict[str, Signed] = {}
        for provider in self.providers:
            if provider.id in groups:
                found |= self._sign_at(provider, person, groups[provider.id])
        return {given: found[url] for given, url in zip(urls, asked, strict=True)}

    def verdicts(self, person: Person) -> list[tuple[Rule, Verdict]]:
        """What the person may read of all that is guarded."""
        return [(rule, judge(rule, person, self.today())) for rule in self.rules]

    def find(self, provider: str) -> Provider:
        """The provider of that id.

        Raises
        ------
        BadRequest
            Where there is none.
        """
        found = next((known for known in self.providers if known.id == provider), None)
        if found is None:
            known = ", ".join(known.id for known in self.providers)
            raise BadRequest(f"provider: {provider[:40]!r} is not known. Known: {known}.")
        return found

    def _require_right(self, person: Person, url: str) -> None:
        for rule in self.rules:
            if rule.guards(url):
                verdict = judge(rule, person, self.today())
                if not verdict.allowed:
                    self._note(person, rule=rule.id, outcome="refused", urls=[url])
                    raise NotAllowed(verdict.sentence())

    def _find_provider(self, url: str) -> Provider:
        found = next((provider for provider in self.providers if provider.match(url)), None)
        if found is None:
            raise BadRequest(
                f"urls: {urlsplit(url).hostname} is not a host of a provider that the broker signs for. Known: "
                f"{', '.join(provider.id for provider in self.providers)}. Open addresses need no signature."
            )
        return found

    def _sign_at(self, provider: Provider, person: Person, urls: list[str]) -> Mapping[str, Signed]:
        if provider.header:
            raise NotAllowed(
                f"{provider.id}: cette source n’accepte qu’une clé envoyée à chaque lecture, nominative et qui ne se "
                "transmet pas ; mettez la vôtre dans ~/.config/earthlab/keys.toml. / this source takes only a key "
                "that is sent along with each read, which is personal and cannot be handed on; put yours into "
                "~/.config/earthlab/keys.toml."
            )
        key = None if provider.keyless else self._find_key(provider, person)
        signed = provider.open(key).sign_many(urls)
        self._note(person, provider=provider.id, rule=self._rules_of(urls), outcome="signed", urls=urls)
        return signed

    def _find_key(self, provider: Provider, person: Person) -> Mapping[str, str]:
        key = self.vault.get(person.name, provider.id) or self.vault.get(LAB, provider.id)
        if key is None:
            self._note(person, provider=provider.id, outcome="no key")
            raise NotAllowed(
                f"{provider.id}: ni vous ni le laboratoire n’avez de clé pour cette source. Déposez la vôtre : "
                f"earthlab keys put {provider.id}. / neither you nor the lab has a key for this source. Deposit yours: "
                f"earthlab keys put {provider.id}."
            )
        return key

    def _rules_of(self, urls: Sequence[str]) -> str:
        return ",".join(rule.id for rule in self.rules if any(rule.guards(url) for url in urls))

    def _note(self, person: Person, **words: Any) -> None:
        self.audit.note(user=person.name, action="sign", **{"provider": "", "rule": "", **words})


def norm_url(url: str) -> str:
    """An address in the one form that rules are compared with.

    Raises
    ------
    BadRequest
        For what is no absolute address, or one whose path could be read in two ways.
    """
    if not isinstance(url, str) or not 0 < len(url) <= LONGEST_URL:
        raise BadRequest(f"urls: found {str(url)[:60]!r}, expected an address of at most {LONGEST_URL} characters.")
    found = norm_address(_unsigned(url))
    if found is None:
        raise BadRequest(
            f"urls: found {url.partition('?')[0][:60]!r}, expected https:// or s3:// and a plain path, without a "
            "query, dots between slashes, doubled slashes or control characters."
        )
    return found


def _unsigned(url: str) -> str:
    try:
        return unsigned(url)
    except ValueError as exc:
        raise BadRequest("urls: one is no address: its host cannot be read.") from exc
