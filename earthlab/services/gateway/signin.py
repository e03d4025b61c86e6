"""Who asks: hub tokens, checked by the hub each minute."""

from typing import Any

from aiohttp import ClientError, web
from dask_gateway_server.auth import JupyterHubAuthenticator


class HubTokens(JupyterHubAuthenticator):  # type: ignore[misc]  # the gateway ships no types
    """The gateway's hub sign-in, with 401 for a token that the hub refuses, and people only."""

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
        if ":" in user.name:
            raise _refused()
        return user


def _refused() -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(headers={"WWW-Authenticate": "jupyterhub"}, reason="The hub does not know this token")
