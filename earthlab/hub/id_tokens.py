"""What an institution says, and whether it may be believed: its metadata, its keys, and whom its id tokens name.

Sources: OpenID Connect Discovery 1.0, 4.3, and Core 1.0, 3.1.3.7 and 5.3.2.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from earthlab.errors import EarthlabError
from earthlab.hub.institution import is_here, is_safe

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that the institution alone has; those with a shared secret, and none at all, are refused."""

LEEWAY = 60
"""Seconds that the institution's clock may be wrong."""

_LONGEST_SUBJECT = 255


class Unsound(EarthlabError):
    """What the institution said cannot be believed: its operator or ours has to mend it. For logs, not for people."""


class UnknownKey(Unsound):
    """An id token names a key that is not among those at hand: there may be a newer one."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an institution does what: addresses to which secrets may travel."""

    authorization: str
    token: str
    keys: str
    userinfo: str = ""
    end_session: str = ""
    basic_auth: bool = True
    """Whether the client's secret goes into a header, not into the form."""


def parse_endpoints(document: Any, issuer: str) -> Endpoints:
    """The endpoints in an institution's metadata.

    Raises
    ------
    Unsound
        Where it is another institution's, one is missing, or one is not reached over TLS.
    """
    if not isinstance(document, Mapping) or document.get("issuer") != issuer:
        found = document.get("issuer") if isinstance(document, Mapping) else document
        raise Unsound(
            f"the metadata are those of {str(found)[:200]!r}, expected oidc.issuer to the letter: {issuer!r}."
        )
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Endpoints(
        authorization=_endpoint(document, "authorization_endpoint", issuer),
        token=_endpoint(document, "token_endpoint", issuer),
        keys=_endpoint(document, "jwks_uri", issuer),
        userinfo=_endpoint(document, "userinfo_endpoint", issuer, needed=False),
        end_session=_endpoint(document, "end_session_endpoint", issuer, needed=False),
        basic_auth="client_secret_post" not in methods,
    )


def _endpoint(document: Mapping[str, Any], name: str, issuer: str, *, needed: bool = True) -> str:
    url = document.get(name, "")
    if (needed or url) and not (isinstance(url, str) and is_safe(url, here=is_here(issuer))):
        raise Unsound(f"the metadata's {name} is {str(url)[:200]!r}, expected an https address.")
    return str(url)


def verify_id_token(
    text: str, keys: Sequence[Mapping[str, Any]], issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """The claims of an id token that this institution signed, for this lab, now, and for this very sign-in.

    Parameters
    ----------
    keys : sequence of mapping
        The institution's keys as its JWK set has them (RFC 7517).

    Raises
    ------
    UnknownKey
        Where none of the keys is the one that it names.
    Unsound
        For anything that is wrong with it.
    """
    try:
        claims = _decode(text, keys, issuer, client_id)
    except jwt.PyJWTError as exc:
        raise Unsound(f"the id token is refused: {exc}.") from exc
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise Unsound("the id token's nonce is not that of this sign-in.")
    if claims.get("azp", client_id) != client_id:
        raise Unsound("the id token was issued to another party (azp).")
    if not 1 <= len(claims["sub"]) <= _LONGEST_SUBJECT:
        raise Unsound(f"the id token's sub has {len(claims['sub'])} characters, expected 1 to {_LONGEST_SUBJECT}.")
    return claims


def _decode(text: str, keys: Sequence[Mapping[str, Any]], issuer: str, client_id: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(text)
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise Unsound(f"the id token is signed by {str(algorithm)[:20]!r}, expected one of {', '.join(ALGORITHMS)}.")
    refusal: jwt.PyJWTError | None = None
    for key in _usable(keys, header.get("kid"), algorithm):
        try:
            return jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=client_id,
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat"], "enforce_minimum_key_length": True},
            )
        except jwt.InvalidSignatureError as exc:
            refusal = exc
    if refusal:
        raise refusal
    raise UnknownKey("the id token names a key that the institution's set does not hold.")


def _usable(keys: Sequence[Mapping[str, Any]], named: str | None, algorithm: str) -> list[jwt.PyJWK]:
    """Those for signatures of this kind: the one that is named, or all."""
    found = []
    for key in keys:
        fits = key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
        if fits and (named is None or key.get("kid") == named):
            try:
                found.append(jwt.PyJWK(dict(key), algorithm))
            except jwt.PyJWTError:
                continue  # a key of another kind
    return found


def complete_claims(claims: Mapping[str, Any], userinfo: Any) -> dict[str, Any]:
    """The claims of an id token, and those that the institution gives for the access token alone.

    Raises
    ------
    Unsound
        Where the latter are somebody else's.
    """
    if not isinstance(userinfo, Mapping) or userinfo.get("sub") != claims["sub"]:
        raise Unsound("the userinfo endpoint speaks of somebody else than the id token.")
    return {**userinfo, **claims}
