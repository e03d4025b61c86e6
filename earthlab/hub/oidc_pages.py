"""The two pages of signing in at an institution: the one that leads there, and the one that it leads back to."""

from collections.abc import Callable
from typing import Any

from jupyterhub.handlers.login import LoginHandler
from oauthenticator.oauth2 import STATE_COOKIE_NAME, OAuthCallbackHandler, OAuthLoginHandler, _deserialize_state
from tornado.escape import url_escape
from tornado.httputil import url_concat
from tornado.web import HTTPError

from earthlab.hub.oidc import InstitutionAuthenticator, Refusal, SignInRefused, nonce_of

SIGN_IN_SECONDS = 900
"""How long somebody may take at the institution."""


class _OnSignInPage(LoginHandler):  # type: ignore[misc]  # JupyterHub has no types
    """A page of the way to the institution and back: what goes wrong is said where links and passes go on working."""

    SUPPORTED_METHODS = ("GET",)

    @property
    def authenticator(self) -> InstitutionAuthenticator:
        """The institution's, within the lab's."""
        found: InstitutionAuthenticator = self.settings["authenticator"].door
        return found

    def set_default_headers(self) -> None:
        """The hub's usual headers; no cache keeps these pages, and their addresses, which hold codes, go nowhere."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")

    def render_template(self, name: str, **ns: Any) -> Any:
        """A page; in place of that of an error the sign-in page, whose buttons lead to where somebody wanted to go."""
        if name == "error.html":
            return self._render(login_error=ns.pop("message", "") or ns.pop("status_message", ""), **ns)
        target = self.target() if name == "login.html" else ""
        if target:
            ns |= {"next": url_escape(target), "authenticator_login_url": url_concat(ns["login_url"], {"next": target})}
        return super().render_template(name, **ns)

    def target(self) -> str:
        """The page that somebody wanted to go to, where it is known otherwise than by this page's address."""
        return ""

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log a refusal with its cause, without the address that Tornado would log."""
        if isinstance(value, SignInRefused):
            said = (value.refusal, self.request.remote_ip, value.cause)
            self.log.warning("Sign-in at the institution refused: %s (%s) %s", *said)
        elif isinstance(value, HTTPError):
            self.log.warning("Sign-in at the institution refused: %s (%s)", value.status_code, self.request.remote_ip)
        else:
            self.log.error("Sign-in at the institution failed", exc_info=(typ, value, tb))


class StartHandler(OAuthLoginHandler, _OnSignInPage):  # type: ignore[misc]  # oauthenticator has no types
    """``GET /hub/institution``: on to the institution, with a state, a nonce and a challenge (PKCE)."""

    async def get(self) -> None:
        """Lead there, or say why not."""
        await self.authenticator.discover()
        super().get()

    def set_state_cookie(self, state_cookie_value: str) -> None:
        """Keep the state for a quarter of an hour, where the hub's own pages alone see it."""
        self._set_cookie(
            STATE_COOKIE_NAME,
            state_cookie_value,
            path=self.hub.base_url,
            samesite="Lax",
            expires_days=None,
            max_age=SIGN_IN_SECONDS,
        )

    def authorize_redirect(self, *args: Any, extra_params: dict[str, Any], **words: Any) -> None:
        """Lead to the institution's page, with a nonce."""
        nonce = nonce_of(extra_params["state"])
        super().authorize_redirect(*args, extra_params={**extra_params, "nonce": nonce}, **words)


class ReturnHandler(OAuthCallbackHandler, _OnSignInPage):  # type: ignore[misc]  # oauthenticator has no types
    """``GET /hub/institution/retour``: whom the institution names is signed in."""

    _found: str | None = None

    def get_state_cookie(self) -> str:
        """The state that this browser began with, which is good once."""
        if self._found is None:
            kept = self.get_secure_cookie(STATE_COOKIE_NAME, max_age_days=SIGN_IN_SECONDS / 86400)
            self._found = (kept or b"").decode()
            self.clear_cookie(STATE_COOKIE_NAME, path=self.hub.base_url)
        return self._found

    def target(self) -> str:
        """The page that this browser began with."""
        return str(_deserialize_state(self.get_state_cookie()).get("next_url") or "") if self.get_state_cookie() else ""

    def check_arguments(self) -> None:
        """See that the browser which comes back is the one that left, with a code of this institution.

        Raises
        ------
        SignInRefused
            Where it is not.
        """
        issuer = self.authenticator.institution.issuer
        if self.get_argument("iss", issuer) != issuer:
            raise self.authenticator.refused("unsound", "another institution led back (iss)")
        super().check_arguments()

    def check_error(self) -> None:
        """See that the institution did not say no.

        Raises
        ------
        SignInRefused
            Where it did.
        """
        error = self.get_argument("error", "")
        if error:
            refusal: Refusal = "denied" if error == "access_denied" else "unsound"
            raise self.authenticator.refused(refusal, f"the institution said {error[:40]!r}")

    def check_code(self) -> None:
        """See that there is a code."""
        self._or_stale(super().check_code)

    def check_state(self) -> None:
        """See that the state is the browser's own."""
        self._or_stale(super().check_state)

    def _or_stale(self, check: Callable[[], None]) -> None:
        try:
            check()
        except HTTPError as exc:
            raise self.authenticator.refused("stale", exc.log_message or "") from exc

    async def auth_to_user(self, authenticated: dict[str, Any], user: Any = None) -> Any:
        """The hub's user, made at the first sign-in, with the groups that the institution decides."""
        found = await super().auth_to_user(authenticated, user)
        self.authenticator.keep_groups(found, authenticated["lab_groups"])
        return found
