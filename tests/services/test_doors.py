"""Who may come in, as the hub says."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse

from earthlab.errors import CatalogueUnavailable, NotAllowed, SetupError
from earthlab.services.doors import KEPT_SECONDS, Door, Hub, HubTokens, resolve_hub
from earthlab.testing.clocks import Clock
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.stac import ACCESS_STAC


@pytest.fixture
def hub() -> Iterator[HubApi]:
    with serve_hub_api() as hub:
        hub.tokens["good"] = Token("ada", scopes=(ACCESS_STAC,))
        hub.tokens["admin"] = Token("root", scopes=("access:services",))
        hub.tokens["other"] = Token("bob", scopes=("access:services!service=dask-gateway", "read:users"))
        yield hub


@pytest.fixture
def tokens(hub: HubApi) -> HubTokens:
    return HubTokens(Hub(hub.url, "stac"), Clock())


@pytest.mark.parametrize(("token", "owner"), [("good", "ada"), ("admin", "root"), ("unknown", None), ("a/b+c=", None)])
async def test_the_hub_says_whose_a_token_is(tokens, token, owner):
    found = await tokens(token)
    assert (found.name if found else None) == owner


async def test_a_token_without_the_scope_is_not_allowed(tokens):
    with pytest.raises(NotAllowed, match=r"token of bob.*access:services!service=stac"):
        await tokens("other")


async def test_an_answer_is_kept_for_a_while_and_then_asked_again(hub, tokens):
    assert (await tokens("good")).name == "ada"
    del hub.tokens["good"]
    tokens.clock.now += KEPT_SECONDS - 1
    assert (await tokens("good")).name == "ada"
    tokens.clock.now += 2
    assert await tokens("good") is None
    assert KEPT_SECONDS <= 60


async def test_what_is_remembered_is_bounded_and_holds_no_token(tokens):
    for at in range(2100):
        tokens._remember(b"%d" % at, (0.0, None))
    assert len(tokens._known) == 2048
    await tokens("good")
    assert "good" not in repr(tokens)
    assert b"good" not in tokens._known


async def test_a_hub_that_does_not_answer_lets_nobody_in(hub, tokens):
    hub.silent = True
    with pytest.raises(CatalogueUnavailable, match="hub answered 503"):
        await tokens("good")
    hub.silent = False
    assert (await tokens("good")).name == "ada"


async def test_a_hub_that_is_away_lets_nobody_in():
    with pytest.raises(CatalogueUnavailable, match="hub cannot be asked"):
        await HubTokens(Hub("http://127.0.0.1:9/hub/api", "stac"))("good")


async def test_refusals_are_401_403_and_503_and_name_no_token(hub):
    door = Door(greet, HubTokens(Hub(hub.url, "stac")))

    async def ask(token):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://lab") as client:
            return await client.get("/", headers={"Authorization": f"token {token}"} if token else {})

    answers = {token: await ask(token) for token in ("good", "admin", "other", "nobodys", "")}
    statuses = {"good": 200, "admin": 200, "other": 403, "nobodys": 401, "": 401}
    assert {token: answer.status_code for token, answer in answers.items()} == statuses
    assert answers["good"].text == "ada"
    hub.silent = True
    late = await ask("another")
    assert late.status_code == 503
    assert "another" not in late.text
    assert late.headers["cache-control"] == "no-store"


async def greet(scope, receive, send):
    await PlainTextResponse(scope["state"]["caller"].name)(scope, receive, send)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"JUPYTERHUB_API_URL": "http://x/hub/api"},
        {"JUPYTERHUB_SERVICE_NAME": "stac"},
        {"JUPYTERHUB_API_URL": "file:///etc", "JUPYTERHUB_SERVICE_NAME": "stac"},
    ],
)
def test_without_a_hub_the_service_does_not_start(environ):
    with pytest.raises(SetupError, match="make lab"):
        resolve_hub(environ)
