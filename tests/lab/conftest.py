"""A real Jupyter server with the extension's routes, and somebody who asks it, signed in or not."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jupyter_core.utils import ensure_event_loop
from pytest_jupyter import jupyter_core, jupyter_server, pytest_tornasync
from tornado.httpclient import HTTPClientError

from earthlab_lab.app import make_routes
from earthlab_lab.desk import Desk
from earthlab_lab.schemas import REFUSAL

# Its fixtures, without its hooks: those would run the tests of all others.
_FIXTURES = ("jp_", "http_", "io_", "echo_")
for _module in (jupyter_core, pytest_tornasync, jupyter_server):
    globals().update({name: value for name, value in vars(_module).items() if name.startswith(_FIXTURES)})


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


Ask = Callable[..., Answer]


class NoKernels:
    """A server in which nobody has started a kernel."""

    def list_kernel_ids(self) -> list[str]:
        return []


def all_routes():
    """Every route, of no server."""
    return make_routes(Desk(), NoKernels(), Path("/nonexistent"))


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that is the thread's: after another test's `asyncio.run` jupyter_core's own, still open, no longer is."""
    loop = ensure_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.close()


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"earthlab_lab": True}, "allow_unauthenticated_access": False}}


@pytest.fixture
def ask(bare_environment, jp_fetch, jp_asyncio_loop) -> Ask:
    """Ask a route; refusals come back like answers, and both have the form that their route promises."""
    gives = {(route.method, route.path): route.gives for route in all_routes()}

    def ask(method: str, path: str, body: Any = None, *, language: str = "en", **words: Any) -> Answer:
        options = {"method": method, "body": None if body is None else json.dumps(body), "request_timeout": 60}
        options |= {"headers": {"Accept-Language": language}}
        try:
            came = jp_asyncio_loop.run_until_complete(
                jp_fetch("earthlab", *path.split("/"), **options, **({"params": words} if words else {}))
            )
        except HTTPClientError as refused:
            answer = Answer(refused.code, refused.response.headers, refused.response.body)
            Draft202012Validator(REFUSAL).validate(answer.said)
            return answer
        answer = Answer(came.code, came.headers, came.body)
        schema = gives.get((method, path))
        if schema is not None:
            validator = Draft202012Validator(schema)
            several = "ndjson" in came.headers["Content-Type"]
            for each in answer.lines if several else [answer.said]:
                validator.validate(each)
        return answer

    return ask
