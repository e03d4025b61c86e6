"""The institution whose members may enter: what the settings say of it, checked, and what its claims mean here."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from earthlab.errors import SetupError, did_you_mean
from earthlab.settings import OidcSettings

START = "institution"
"""The page under ``/hub/`` that leads to the institution."""

RETURN = f"{START}/retour"
"""The one that the institution leads back to."""

_HERE = {"127.0.0.1", "localhost", "::1"}
_MOST_SECRET = 4096


@dataclass(frozen=True, slots=True)
class Institution:
    """An OpenID Connect provider, what it calls this lab, and which of its members may enter as what."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """The lab's groups, and the claims' values that make somebody a member."""
    allowed: frozenset[str] = frozenset()
    everybody: bool = False
    operators: str = ""
    callback: str = ""
    scopes: tuple[str, ...] = ("openid",)
    user_claim: str = "sub"
    group_claims: tuple[str, ...] = ("groups",)
    label: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What people call it, by language."""

    def groups_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """The lab's groups that somebody of these claims belongs to."""
        values = {value for name in self.group_claims for value in find_values(claims, name)}
        return frozenset(
            group
            for group, wanted in self.groups.items()
            if any(means(one, value) for one in wanted for value in values)
        )

    def admits(self, groups: frozenset[str]) -> bool:
        """Whether members of these groups may enter."""
        return self.everybody or not self.allowed.isdisjoint(groups)


def find_values(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """The texts of a claim, one or a list; of one within another where the name has dots (``realm_access.roles``)."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    texts = [found] if isinstance(found, str) else found
    return frozenset(text for text in texts if isinstance(text, str)) if isinstance(texts, list) else frozenset()


def means(wanted: str, value: str) -> bool:
    """Whether a claim's value is the one that the settings name.

    They must be equal; of a URN the first two parts in any case (RFC 8141, 3.1). An entitlement's ``#authority``
    (AARC-G069) must be equal where the settings name one, and may be any where they do not.
    """
    if not _is_urn(wanted) or not _is_urn(value):
        return wanted == value
    return _norm_urn(wanted) in {_norm_urn(value), _norm_urn(value.partition("#")[0])}


def _is_urn(text: str) -> bool:
    return text[:4].lower() == "urn:"


def _norm_urn(text: str) -> str:
    scheme, space, rest = [*text.split(":", 2), ""][:3]
    return f"{scheme.lower()}:{space.lower()}:{rest}"


def resolve_institution(settings: OidcSettings, environ: Mapping[str, str] = os.environ) -> Institution | None:
    """The institution that the settings describe, with the client's secret; ``None`` where they name no issuer.

    Raises
    ------
    SetupError
        Where a setting is missing or contradicts another, or the secret cannot be read or could be read by others.
    """
    if not settings.issuer:
        return None
    return Institution(
        issuer=_parse_issuer(settings.issuer),
        client_id=_required(settings.client_id, "client_id", "what the institution calls this lab"),
        client_secret=_read_secret(settings, environ),
        groups=_parse_groups(settings.groups),
        **_parse_admission(settings),
        callback=_parse_callback(settings.callback),
        scopes=_parse_scopes(settings.scopes),
        user_claim=_parse_user_claim(settings.user_claim),
        group_claims=_names(settings.group_claim),
        label={
            "fr": _required(settings.label_fr, "label_fr", "what people call the institution"),
            "en": _required(settings.label_en, "label_en", "what people call the institution"),
        },
    )


def metadata_url(issuer: str) -> str:
    """Where an institution says what it offers (OpenID Connect Discovery 1.0, 4.1)."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def is_safe(url: str, *, here: bool = False) -> bool:
    """Whether secrets may travel to an address: over TLS; without where it is this machine's and ``here`` is true."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = bool(host) and "@" not in parts.netloc and not parts.fragment and not re.search(r"[\x00-\x20\x7f]", url)
    return plain and (parts.scheme == "https" or (here and parts.scheme == "http" and host in _HERE))


def is_here(url: str) -> bool:
    """Whether an address is this machine's, without TLS."""
    return urlsplit(url).scheme == "http"


def _parse_issuer(text: str) -> str:
    if not is_safe(text, here=True) or urlsplit(text).query:
        raise SetupError(
            f"oidc.issuer is {text!r}, expected an https address without query, as the institution's "
            "/.well-known/openid-configuration gives it (http only on this machine's own address)."
        )
    return text


def _parse_callback(text: str) -> str:
    if text and not (is_safe(text, here=True) and text.endswith(f"/hub/{RETURN}")):
        raise SetupError(f"oidc.callback is {text!r}, expected https://…/hub/{RETURN}, or nothing.")
    return text


def _parse_scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(text.split())
    if "openid" not in scopes:
        raise SetupError(f"oidc.scopes is {text!r}, expected openid among them: without it nobody is identified.")
    return scopes


def _parse_user_claim(text: str) -> str:
    if text.strip() in {"", "email"}:
        raise SetupError(
            f"oidc.user_claim is {text!r}, expected a claim that stays and is no address, which people change and pass "
            "on: sub, or preferred_username for names that can be read."
        )
    return text.strip()


def _parse_groups(groups: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    for group, claims in groups.items():
        if not group or ":" in group or not claims or not all(claims):
            raise SetupError(
                f"oidc.groups has {group!r} = {list(claims)!r}, expected a group of the lab without a colon (those are "
                "the workshops'), and at least one claim."
            )
    return groups


def _parse_admission(settings: OidcSettings) -> dict[str, Any]:
    allowed = _names(settings.allowed)
    if bool(allowed) is settings.everybody:
        found = "both are set" if allowed else "neither is set"
        raise SetupError(
            f"oidc.allowed and oidc.everybody: {found}, expected one of them. Name the lab's groups whose members may "
            "enter, or set oidc.everybody = true to let in all whom the institution signs in."
        )
    operators = settings.operators.strip()
    for name, group in [("allowed", group) for group in allowed] + ([("operators", operators)] if operators else []):
        if group not in settings.groups:
            raise SetupError(
                f"oidc.{name} names the group {group!r}, of which no claim makes anybody a member: give it claims in "
                f"oidc.groups. {did_you_mean(group, settings.groups)}"
            )
    return {"allowed": frozenset(allowed), "everybody": settings.everybody, "operators": operators}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _required(text: str, name: str, what: str) -> str:
    if not text.strip():
        raise SetupError(f"oidc.{name} is empty, expected {what}: oidc.issuer is set.")
    return text.strip()


def _read_secret(settings: OidcSettings, environ: Mapping[str, str]) -> str:
    variable, file = settings.client_secret_env, settings.client_secret_file
    if bool(variable) is bool(file):
        raise SetupError(
            "oidc.client_secret_env and oidc.client_secret_file: expected exactly one of them, the name of an "
            "environment variable or a file (0600) that holds the client's secret."
        )
    found = _read_private(file) if file else environ.get(variable, "")
    place = str(file) if file else f"the environment variable {variable!r}"
    secret = found.strip()
    if not secret or len(secret.split()) > 1:
        raise SetupError(
            f"{place}, which oidc names, holds {'nothing' if not secret else 'several words'}, expected "
            "the client's secret."
        )
    return secret


def _read_private(file: Path) -> str:
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise SetupError(
                    f"oidc.client_secret_file {file} has mode {stat.S_IMODE(found.st_mode):o} and the owner "
                    f"{found.st_uid}, expected a file of the hub's account alone: chmod 600, owner {os.getuid()}."
                )
            return opened.read(_MOST_SECRET).decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise SetupError(
            f"oidc.client_secret_file {file} cannot be read ({exc}). Put the client's secret there."
        ) from exc
