"""Who asks: hub tokens, checked by the hub at each request."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientError, web
from dask_gateway_server.auth import JupyterHubAuthenticator
from dask_gateway_server.models import User

from earthlab.services.gateway.shared import ROUTE

WORKSHOPS = "service:workshops"
"""The workshops' service, which is no person: it says which clusters are shared, and may do nothing else here."""


class Caller(User):  # type: ignore[misc]  # the gateway ships no types
    """Somebody of the hub, at one request.

    Parameters
    ----------
    user : User
    shared : frozenset of str
        Owners of the shared clusters that this person may compute on.
    reads : bool
        Whether the request only reads. The gateway asks one question before it tells of a cluster and before it
        scales or stops it: who shares a cluster may have the first alone.
    """

    def __init__(self, user: User, *, shared: frozenset[str], reads: bool) -> None:
        super().__init__(user.name, user.groups, user.admin)
        self._shared = shared
        self._reads = reads

    def has_permissions(self, cluster: Any) -> bool:
        """Whether the request may be answered for this cluster."""
        return super().has_permissions(cluster) or (self._reads and cluster.username in self._shared)


class HubTokens(JupyterHubAuthenticator):  # type: ignore[misc]  # the gateway ships no types
    """The gateway's hub sign-in, with 401 for a token that the hub refuses; people only, and the workshops' service."""

    async def authenticate_and_handle(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> web.Response:
        """Answer whoever the hub knows at this moment.

        No cookie stands in for the token, as the gateway's own would for a while: a pass that was revoked must be worth
        nothing at the next request.
        """
        request["user"] = await self.authenticate(request)
        return await handler(request)

    def get_token(self, request: web.Request) -> str | None:
        """The token of a request, or None where it bears none."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return token if kind == "jupyterhub" and token else None

    async def authenticate(self, request: web.Request) -> Any:
        """The user whose token came with the request."""
        try:
            user = await super().authenticate(request)
        except ClientError as exc:
            raise web.HTTPBadGateway(reason="The hub does not answer: try again in a minute") from exc
        except web.HTTPInternalServerError as exc:
            raise _refused() from exc
        if user.name == WORKSHOPS and request.path.startswith(ROUTE):
            return user
        if ":" in user.name:
            raise _refused()
        shared = request.app["backend"].shared_with(user.name)
        return Caller(user, shared=shared, reads=request.method == "GET")


def _refused() -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(headers={"WWW-Authenticate": "jupyterhub"}, reason="The hub does not know this token")
