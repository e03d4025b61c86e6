"""One way in for all routes: signed in, one JSON Schema in and one out, refusals in words and never a traceback."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from earthlab.errors import BadRequest
from earthlab_lab.refusals import render_refusal, status_of
from earthlab_lab.schemas import Schema, shape

MOST_BYTES = 1_000_000
"""Longest body that is read."""

NOTHING: Schema = shape({})
"""Takes no words."""

Method = Literal["GET", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page asks: the words of its body or its address, the variable parts of the path, and its language."""

    words: Mapping[str, Any]
    parts: Sequence[str] = ()
    language: Literal["fr", "en"] = "fr"


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is no JSON."""

    content: bytes = field(repr=False)
    kind: str = "image/png"
    keep: int = 0
    """Seconds for which the browser of this person may keep it."""


Answer = Callable[[Asked], Awaitable[Any]]
Lines = Callable[[Asked], AsyncIterator[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path below ``/earthlab/``, what it takes and gives, and who answers.

    ``path`` is a regular expression whose groups are handed on. ``takes`` checks the body of a POST, and of a GET the
    words of the address, which are all texts. ``gives`` describes the answer; None where that is a `File`.
    """

    method: Method
    path: str
    answer: Answer
    takes: Schema = field(default_factory=lambda: NOTHING, hash=False)
    gives: Schema | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """As a `Route`, but answered line by line: each is one JSON value of the form ``gives``.

    A refusal on the way is the last line, ``{"refused": …}``.
    """

    method: Method
    path: str
    answer: Lines
    takes: Schema = field(default_factory=lambda: NOTHING, hash=False)
    gives: Schema | None = field(default=None, hash=False)


class RouteHandler(APIHandler):
    """Answers one path: who is not signed in gets no further."""

    auth_resource = "earthlab"

    def initialize(self, routes: Mapping[str, Route | Stream]) -> None:
        """Take note of what answers each method."""
        self._routes = routes

    @authenticated
    @authorized
    async def get(self, *parts: str) -> None:
        """Answer."""
        await self._answer(parts)

    @authenticated
    @authorized
    async def post(self, *parts: str) -> None:
        """Answer."""
        await self._answer(parts)

    @authenticated
    @authorized
    async def delete(self, *parts: str) -> None:
        """Answer."""
        await self._answer(parts)

    async def _answer(self, parts: Sequence[str]) -> None:
        route = self._routes.get(self.request.method or "")
        if route is None:
            raise HTTPError(405)
        asked = Asked(_checked(self._words(), route.takes), parts, self._language())
        self.set_header("Cache-Control", "no-store")
        if isinstance(route, Stream):
            await self._write_lines(route, asked)
        else:
            self._write_answer(await route.answer(asked))

    def _words(self) -> Any:
        if self.request.method == "GET":
            return {name: self.get_query_argument(name) for name in self.request.query_arguments}
        if len(self.request.body) > MOST_BYTES:
            raise BadRequest(f"The request has {len(self.request.body)} bytes, at most {MOST_BYTES} are read.")
        try:
            return json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as exc:
            raise BadRequest("The request is not JSON. Send an object.") from exc

    def _language(self) -> Literal["fr", "en"]:
        return "en" if self.request.headers.get("Accept-Language", "").lower().startswith("en") else "fr"

    def _write_answer(self, answer: Any) -> None:
        if isinstance(answer, File):
            if answer.keep:
                self.set_header("Cache-Control", f"private, max-age={answer.keep}")
            self.finish(answer.content, set_content_type=answer.kind)
        else:
            self.finish(json.dumps(answer))

    async def _write_lines(self, route: Stream, asked: Asked) -> None:
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            async for line in route.answer(asked):
                self.write(json.dumps(line) + "\n")
                await self.flush()
        except StreamClosedError:
            return
        except Exception as exc:
            # The answer has begun: what went wrong is its last line.
            if status_of(exc) == 500:
                self.log.exception("earthlab: %s", route.path)
            self.write(json.dumps({"refused": render_refusal(exc, asked.language)}) + "\n")
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say no in words."""
        raised = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(raised, HTTPError) or raised is None:
            refusal = {"code": f"HTTP{status_code}", "message": self._reason, "remedy": ""}
        else:
            self.set_status(status_of(raised))
            refusal = render_refusal(raised, self._language())
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(refusal))


def _checked(words: Any, schema: Schema) -> Mapping[str, Any]:
    fault = next(
        iter(sorted(Draft202012Validator(schema).iter_errors(words), key=lambda e: list(map(str, e.path)))), None
    )
    if fault is not None:
        where = ".".join(map(str, fault.absolute_path)) or "request"
        raise BadRequest(f"{where}: {fault.message[:300]}.")
    found: Mapping[str, Any] = words
    return found
