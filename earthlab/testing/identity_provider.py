"""An institution that signs people in by OpenID Connect, rightly or with any of its faults: a real HTTP server here.

Written from the specifications (OpenID Connect Core and Discovery 1.0, RFC 7636) with the standard library and
`cryptography` alone: it shares nothing with what the lab checks tokens by.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from earthlab.testing.providers import Answer, Behaviour, Request, fixed, json_answer, provider

Fault = Literal[
    "none",
    "away",
    "another issuer's metadata",
    "an endpoint without TLS",
    "denied",
    "another state",
    "another iss",
    "no id token",
    "another nonce",
    "another audience",
    "another party",
    "another issuer",
    "expired",
    "another key",
    "a new key",
    "unsigned",
    "signed with the public key as a secret",
    "somebody else's userinfo",
    "a page in place of JSON",
]


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code stands for."""

    claims: Mapping[str, Any]
    redirect: str
    challenge: str
    nonce: str


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class IdentityProvider:
    """A running institution: change ``person`` and ``fault`` at will while it runs."""

    url: str = ""
    client_id: str = "earthlab"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"})
    """The claims of whoever signs in."""
    private: frozenset[str] = frozenset()
    """Claims that the userinfo endpoint alone gives."""
    fault: Fault = "none"
    basic_auth: bool = False
    """Whether the client's secret is taken in a header alone."""
    asks: bool = False
    """Whether people press a button before they are led back."""
    paths: list[str] = field(default_factory=list)
    """What was asked for, in order."""
    seen: list[str] = field(default_factory=list)
    """Secrets that were given out or sent here: codes, verifiers, tokens."""
    key: rsa.RSAPrivateKey = field(default_factory=_new_key)
    kid: str = "one"
    codes: dict[str, _Grant] = field(default_factory=dict)
    tokens: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """What it calls itself."""
        return f"{self.url}realms/lab"

    def behave(self, request: Request) -> Answer:
        """Answer one request."""
        self.paths.append(request.path)
        routes: Mapping[str, Behaviour] = {
            "/.well-known/openid-configuration": lambda _: json_answer(self.metadata()),
            "/keys": lambda _: json_answer(self.jwks()),
            "/authorize": self._authorize,
            "/token": self._give_tokens,
            "/userinfo": self._say_who,
            "/logout": fixed((200, "text/html; charset=utf-8", b"<h1>Au revoir</h1>")),
        }
        no_such_page = fixed((404, "text/plain", b"no such page"))
        if self.fault == "away":
            return 503, "text/plain", b"away"
        return routes.get(request.path.removeprefix("/realms/lab"), no_such_page)(request)

    def jwks(self) -> dict[str, Any]:
        """Its public key, beside one of a kind that signs nothing (RFC 7517)."""
        return {"keys": [{"kty": "oct", "kid": "odd"}, _public_jwk(self.key, self.kid)]}

    def issue(self, nonce: str) -> str:
        """An id token for ``person``."""
        return self._id_token(_Grant(dict(self.person), "", "", nonce))

    def metadata(self) -> dict[str, Any]:
        """What it says of itself (OpenID Connect Discovery 1.0, 3)."""
        far = "http://example.org/token" if self.fault == "an endpoint without TLS" else f"{self.issuer}/token"
        return {
            "issuer": "https://example.org" if self.fault == "another issuer's metadata" else self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": far,
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"]
            + ([] if self.basic_auth else ["client_secret_post"]),
        }

    def _authorize(self, request: Request) -> Answer:
        asked = {name: values[0] for name, values in parse_qs(request.query).items()}
        needed = {"client_id": self.client_id, "response_type": "code", "code_challenge_method": "S256"}
        if any(asked.get(name) != value for name, value in needed.items()) or not {"state", "nonce"} <= asked.keys():
            return 400, "text/plain", f"not as registered: {sorted(asked)}".encode()
        if "openid" not in asked.get("scope", "").split():
            return 400, "text/plain", b"no OpenID Connect"
        back = self._way_back(asked)
        if self.asks:
            page = f'<!doctype html><title>Institution</title><h1>Institution</h1><a id="yes" href="{back}">Oui</a>'
            return 200, "text/html; charset=utf-8", page.replace("&", "&amp;").encode()
        return 302, "text/plain", b"", {"Location": back}

    def _way_back(self, asked: Mapping[str, str]) -> str:
        state = secrets.token_hex(8) if self.fault == "another state" else asked["state"]
        words = {"state": state, "iss": "https://example.org" if self.fault == "another iss" else self.issuer}
        if self.fault == "denied":
            words |= {"error": "access_denied", "error_description": "<b>Call 0123</b>"}
        else:
            code = self._note(secrets.token_urlsafe(24))
            self.codes[code] = _Grant(dict(self.person), asked["redirect_uri"], asked["code_challenge"], asked["nonce"])
            words["code"] = code
        return f"{asked['redirect_uri']}?{urlencode(words)}"

    def _note(self, secret: str) -> str:
        self.seen.append(secret)
        return secret

    def _give_tokens(self, request: Request) -> Answer:
        if self.fault == "a page in place of JSON":
            return 200, "text/html", b"<h1>maintenance</h1>"
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if not self._is_client(request, form):
            return json_answer({"error": "invalid_client", "error_description": self.client_secret}, 401)
        grant = self.codes.pop(form.get("code", ""), None)
        verifier = self._note(form.get("code_verifier", ""))
        if grant is None or form.get("redirect_uri") != grant.redirect or _challenge(verifier) != grant.challenge:
            return json_answer({"error": "invalid_grant", "error_description": "used, unknown or another's"}, 400)
        access = self._note(secrets.token_urlsafe(24))
        self.tokens[access] = grant.claims
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        if self.fault != "no id token":
            answer["id_token"] = self._note(self._id_token(grant))
        return json_answer(answer)

    def _is_client(self, request: Request, form: Mapping[str, str]) -> bool:
        headers = {name.lower(): value for name, value in request.headers.items()}
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if self.basic_auth:
            return headers.get("authorization") == f"Basic {basic}" and "client_secret" not in form
        return (form.get("client_id"), form.get("client_secret")) == (self.client_id, self.client_secret)

    def _id_token(self, grant: _Grant) -> str:
        now = int(time.time())
        claims = {name: value for name, value in grant.claims.items() if name not in self.private}
        claims |= {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": grant.nonce}
        claims |= _CLAIMED.get(self.fault, {})
        if self.fault == "expired":
            claims |= {"iat": now - 7200, "exp": now - 3600}
        if self.fault == "a new key":
            self.key, self.kid, self.fault = _new_key(), secrets.token_hex(4), "none"
        return self._signed(claims)

    def _signed(self, claims: Mapping[str, Any]) -> str:
        match self.fault:
            case "unsigned":
                return f"{_encode({'alg': 'none'})}.{_encode(claims)}."
            case "signed with the public key as a secret":
                body = f"{_encode({'alg': 'HS256', 'kid': self.kid})}.{_encode(claims)}"
                public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                return f"{body}.{_base64(hmac.digest(public, body.encode(), 'sha256'))}"
        key = _new_key() if self.fault == "another key" else self.key
        body = f"{_encode({'alg': 'RS256', 'kid': self.kid})}.{_encode(claims)}"
        return f"{body}.{_base64(key.sign(body.encode(), padding.PKCS1v15(), SHA256()))}"

    def _say_who(self, request: Request) -> Answer:
        headers = {name.lower(): value for name, value in request.headers.items()}
        claims = self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
        if claims is None:
            return json_answer({"error": "invalid_token"}, 401)
        return json_answer({**claims, "sub": "somebody-else"} if self.fault == "somebody else's userinfo" else claims)


_CLAIMED: Mapping[Fault, Mapping[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "another audience": {"aud": "another"},
    "another party": {"azp": "another"},
    "another issuer": {"iss": "https://example.org"},
}


@contextmanager
def serve_identity_provider() -> Iterator[IdentityProvider]:
    """An institution on a free loopback port, for as long as the context lasts."""
    institution = IdentityProvider()
    with provider(institution.behave) as running:
        institution.url = running.url
        yield institution


def _public_jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "use": "sig", "kid": kid, "n": _integer(numbers.n), "e": _integer(numbers.e)}


def _challenge(verifier: str) -> str:
    return _base64(hashlib.sha256(verifier.encode()).digest())


def _encode(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _integer(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
