"""Signing in at an institution by OpenID Connect: an authenticator for use within the lab's own.

The flow with its state and PKCE is oauthenticator's. Ours is what it leaves out: addresses by discovery, the id token's
signature, issuer, audience and nonce, accounts that stay their owners', and refusals in words, on the sign-in page.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from oauthenticator.generic import GenericOAuthenticator
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httputil import url_concat
from tornado.web import HTTPError
from traitlets import Any as AnyTrait
from traitlets import default

from earthlab.errors import BadRequest
from earthlab.hub.id_tokens import Endpoints, UnknownKey, Unsound, complete_claims, parse_endpoints, verify_id_token
from earthlab.hub.identities import Identity, IdentityStore, propose_user
from earthlab.hub.institution import RETURN, Institution, metadata_url

_KEPT = 24 * 3600.0
"""Seconds for which metadata and keys are kept."""

_PAUSE = 2.0
"""Seconds after a failure, or after keys were fetched, in which the institution is not asked again."""

_MOST_BYTES = 1 << 20

Refusal = Literal["away", "unsound", "unproven", "stale", "denied", "not_allowed", "reserved", "taken"]

_STATUS: Mapping[Refusal, int] = {"away": 502, "unsound": 502, "stale": 400, "taken": 409}
"""Of those that are no 403."""

_WORDS: Mapping[Refusal, str] = {
    "away": (
        "« {fr} » ne répond pas : réessayez dans une minute. Les liens et les passes, eux, marchent. · "
        "“{en}” does not answer: try again in a minute. Links and passes do work."
    ),
    "unsound": (
        "La réponse de « {fr} » n’est pas recevable : prévenez l’équipe du labo, c’est un réglage à revoir. · "
        "What “{en}” answered cannot be accepted: tell the lab’s team, a setting has to be mended."
    ),
    "unproven": (
        "« {fr} » n’a pas prouvé qui vous êtes : recommencez, et si cela se répète, prévenez l’équipe du labo. · "
        "“{en}” did not prove who you are: begin again, and if it happens again, tell the lab’s team."
    ),
    "stale": (
        "Cette connexion a trop attendu, a déjà servi, ou a été commencée dans un autre onglet : recommencez ici. · "
        "This sign-in waited too long, was already used, or was begun in another tab: begin again here."
    ),
    "denied": (
        "Vous avez refusé chez « {fr} », ou l’on vous y a refusé : rien n’a été fait. · "
        "You declined at “{en}”, or were declined there: nothing was done."
    ),
    "not_allowed": (
        "« {fr} » vous connaît, mais vous n’êtes d’aucun groupe qui entre ici : demandez-le à l’équipe du labo. · "
        "“{en}” knows you, but you are in no group that may enter here: ask the lab’s team."
    ),
    "reserved": (
        "Le nom que « {fr} » vous donne est réservé aux places d’atelier : adressez-vous à l’équipe du labo. · "
        "The name that “{en}” gives you is kept for seats of workshops: ask the lab’s team."
    ),
    "taken": (
        "Le nom que « {fr} » vous donne est ici celui d’un autre compte : adressez-vous à l’équipe du labo. · "
        "The name that “{en}” gives you is that of another account here: ask the lab’s team."
    ),
}


class SignInRefused(HTTPError):
    """A refusal in words for people; the ``cause`` is for the hub's log alone and holds nothing secret."""

    def __init__(self, refusal: Refusal, institution: Institution, cause: str = "") -> None:
        super().__init__(_STATUS.get(refusal, 403), _WORDS[refusal].format(**institution.label))
        self.refusal, self.cause = refusal, cause


@dataclass
class Kept:
    """What was fetched once, for all who ask: one request at a time, and none for a while after a failure."""

    fetch: Callable[[], Awaitable[Any]]
    clock: Callable[[], float] = time.monotonic
    _task: asyncio.Future[Any] | None = None
    _since: float = field(default=0.0)

    async def get(self, at_most: float = _KEPT) -> Any:
        """What was fetched ``at_most`` that many seconds ago, or is fetched now; or the failure to do so."""
        if self._task is None or (self._task.done() and self._age() > self._lifetime(self._task, at_most)):
            self._since = self.clock()
            self._task = asyncio.ensure_future(self.fetch())
        return await asyncio.shield(self._task)

    def _age(self) -> float:
        return self.clock() - self._since

    def _lifetime(self, task: asyncio.Future[Any], at_most: float) -> float:
        return _PAUSE if task.cancelled() or task.exception() else at_most


class InstitutionAuthenticator(GenericOAuthenticator):  # type: ignore[misc]  # oauthenticator has no types
    """Signs in whom an institution names. What the lab asks of everybody, its own authenticator asks, in front."""

    front = AnyTrait(help="The lab's authenticator, whose pages and rules hold for these people, too.")
    institution = AnyTrait(help="The `Institution`.")
    identities = AnyTrait(help="The `IdentityStore`.")
    reserved = AnyTrait(help="Says whether a name is kept for a local account that there may not be yet.")

    def __init__(
        self, front: Any, institution: Institution, identities: IdentityStore, reserved: Callable[[str], bool]
    ) -> None:
        # All that oauthenticator would otherwise take from the environment is said here.
        super().__init__(
            parent=front,
            front=front,
            institution=institution,
            identities=identities,
            reserved=reserved,
            client_id=institution.client_id,
            client_secret=institution.client_secret,
            scope=list(institution.scopes),
            oauth_callback_url=institution.callback,
            enable_pkce=True,
            validate_server_cert=True,
            enable_auth_state=False,
            manage_groups=False,
            userdata_token_method="header",  # noqa: S106  the way of a token, not one
            custom_403_message=_WORDS["not_allowed"].format(**institution.label),
        )
        self._endpoints = Kept(self._fetch_endpoints)
        self._keys = Kept(self._fetch_keys)

    @default("http_client")
    def _default_http_client(self) -> AsyncHTTPClient:
        return AsyncHTTPClient(
            force_instance=True,
            max_clients=100,
            max_body_size=_MOST_BYTES,
            defaults={"connect_timeout": 5, "request_timeout": 10, "follow_redirects": False, "validate_cert": True},
        )

    def refused(self, refusal: Refusal, cause: object = "") -> SignInRefused:
        """A refusal in this institution's name."""
        return SignInRefused(refusal, self.institution, str(cause))

    async def discover(self) -> Endpoints:
        """The institution's endpoints, fetched at the first use.

        Raises
        ------
        SignInRefused
            Where it is away, or is not the one that the settings name.
        """
        found: Endpoints = await self._endpoints.get()
        return found

    async def _fetch_endpoints(self) -> Endpoints:
        issuer = self.institution.issuer
        document = await self.httpfetch(metadata_url(issuer), "the metadata")
        try:
            found = parse_endpoints(document, issuer)
        except Unsound as exc:
            raise self.refused("unsound", exc) from exc
        self.authorize_url, self.token_url, self.userdata_url = found.authorization, found.token, found.userinfo
        self.basic_auth = found.basic_auth
        return found

    async def _fetch_keys(self) -> list[Mapping[str, Any]]:
        endpoints = await self.discover()
        answer = await self.httpfetch(endpoints.keys, "the keys")
        keys = answer.get("keys") if isinstance(answer, Mapping) else None
        return [key for key in keys if isinstance(key, Mapping)] if isinstance(keys, list) else []

    async def fetch(self, req: HTTPRequest, label: str = "fetching", **_: Any) -> Any:
        """What the institution answers to a request, as JSON; nothing of it is logged.

        Raises
        ------
        SignInRefused
            Where there is no answer, or another one.
        """
        place = urlsplit(req.url)
        where = f"{label} at {place.scheme}://{place.netloc}{place.path}"
        try:
            answer = await self.http_client.fetch(req, raise_error=False)
        except (OSError, HTTPClientError, UnicodeError) as exc:
            raise self.refused("away", f"{where}: {exc}") from exc
        if answer.code >= 500:
            raise self.refused("away", f"{where}: status {answer.code}")
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        if answer.code != 200:
            error = _error_of(said)
            raise self.refused("stale" if error == "invalid_grant" else "unsound", f"{where}: {answer.code} {error}")
        if said is None:
            raise self.refused(
                "unsound", f"{where}: no JSON, but {answer.headers.get('Content-Type', 'nothing')[:80]!r}"
            )
        return said

    def build_access_tokens_request_params(self, handler: BaseHandler, data: Any = None) -> dict[str, Any]:
        """The form by which a code becomes tokens, without oauthenticator's own ``data``."""
        params: dict[str, Any] = super().build_access_tokens_request_params(handler, data)
        params.pop("data")
        return params

    async def get_token_info(self, _handler: BaseHandler, params: Mapping[str, Any]) -> dict[str, Any]:
        """The tokens; a code is good for them once.

        Raises
        ------
        SignInRefused
            Where there are none.
        """
        answer = await self.httpfetch(
            self.token_url,
            "the tokens",
            method="POST",
            headers=self.build_token_info_request_headers(),
            body=urlencode(params).encode(),
        )
        words = ("access_token", "id_token", "token_type")
        missing = [word for word in words if not (isinstance(answer, dict) and isinstance(answer.get(word), str))]
        if missing:
            raise self.refused("unsound", f"the tokens lack {', '.join(missing)}")
        found: dict[str, Any] = answer
        return found

    async def authenticate(self, handler: BaseHandler, data: Any = None, **_: Any) -> dict[str, Any]:
        """Who came back from the institution: ``name``, and ``lab_groups`` of the lab that its claims mean.

        Raises
        ------
        SignInRefused
            For whoever does not prove who they are, or may not enter.
        """
        endpoints = await self.discover()
        tokens = await self.get_token_info(handler, self.build_access_tokens_request_params(handler, data))
        claims = await self.verify(tokens["id_token"], nonce_of(handler.get_state_url()))
        if endpoints.userinfo:
            claims = await self._complete(claims, tokens)
        groups = self.institution.groups_of(claims)
        if not self.institution.admits(groups):
            raise self.refused("not_allowed")
        return {"name": self._account(handler, claims), "auth_state": None, "lab_groups": groups}

    async def verify(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an id token, by keys that are fetched anew where it names one that is not known yet.

        Raises
        ------
        SignInRefused
            For a token that proves nothing.
        """
        known = self.institution.issuer, self.institution.client_id, nonce
        try:
            try:
                return verify_id_token(id_token, await self._keys.get(), *known)
            except UnknownKey:
                return verify_id_token(id_token, await self._keys.get(at_most=_PAUSE), *known)
        except Unsound as exc:
            raise self.refused("unproven", exc) from exc

    async def _complete(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return complete_claims(claims, await self.token_to_user(tokens))
        except Unsound as exc:
            raise self.refused("unproven", exc) from exc

    def _account(self, handler: BaseHandler, claims: Mapping[str, Any]) -> str:
        identity = Identity(claims["iss"], claims["sub"])
        known: str | None = self.identities.user_of(identity)
        if known:
            return known
        wanted = claims.get(self.institution.user_claim)
        if not isinstance(wanted, str) or not wanted:
            raise self.refused("unsound", f"oidc.user_claim is {self.institution.user_claim!r}, which is not given")
        try:
            user = propose_user(identity, wanted)
        except BadRequest as exc:
            raise self.refused("reserved", exc) from exc
        if orm.User.find(handler.db, user) or self.reserved(user) or not self.identities.bind(identity, user):
            raise self.refused("taken", f"the account {user!r} belongs to somebody else")
        return user

    async def way_out(self, user: str) -> str:
        """Where somebody may sign out at the institution, too; nothing for others, and where it offers no such way."""
        if not self.identities.knows(user):
            return ""
        try:
            endpoints = await self.discover()
        except SignInRefused as exc:
            self.log.warning("No way out at the institution: %s", exc.cause)
            return ""
        known = {"client_id": self.institution.client_id}
        return str(url_concat(endpoints.end_session, known)) if endpoints.end_session else ""

    def keep_groups(self, user: Any, groups: frozenset[str]) -> None:
        """Make somebody a member of the groups that the claims mean, and of no other that the settings map.

        Groups that they do not map stay as the operator and the workshops keep them.
        """
        held = [group for group in user.orm_user.groups if group.name not in self.institution.groups]
        user.orm_user.groups = held + [_find_group(user.db, name) for name in sorted(groups)]
        user.db.commit()

    def get_callback_url(self, handler: BaseHandler | None = None) -> str:
        """The address that the institution leads back to, as the settings say or as the page was opened."""
        if self.oauth_callback_url or handler is None:
            return str(self.oauth_callback_url)
        here = f"{handler.request.protocol}://{handler.request.host}"
        return here + str(url_path_join(handler.hub.base_url, RETURN))

    def login_url(self, base_url: str) -> str:
        """The sign-in page that all share."""
        return str(self.front.login_url(base_url))

    def normalize_username(self, username: str) -> str:
        """The name as it is: `propose_user` made it."""
        return username

    def check_blocked_users(self, username: str, authentication: Any = None) -> bool:
        """As for everybody."""
        return bool(self.front.check_blocked_users(username, authentication))

    async def check_allowed(self, _username: str, auth_model: Any) -> bool:
        """Whoever `authenticate` has let through."""
        return auth_model is not None

    def add_user(self, user: Any) -> None:
        """As for everybody."""
        self.front.add_user(user)


def _error_of(said: Any) -> str:
    error = said.get("error") if isinstance(said, Mapping) else None
    return error if isinstance(error, str) and re.fullmatch(r"[a-z_]{1,40}", error) else ""


def _find_group(db: Any, name: str) -> Any:
    group = orm.Group.find(db, name)
    if group is None:
        group = orm.Group(name=name)
        db.add(group)
    return group


def nonce_of(state: str) -> str:
    """What the id token of a sign-in must repeat. It follows from the state, which must match the browser's cookie."""
    return hashlib.sha256(f"earthlab nonce {state}".encode()).hexdigest()
