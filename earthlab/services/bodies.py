"""The bodies of requests, read within bounds."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from earthlab.errors import AskLess, BadRequest

LARGEST_BODY = 512 * 1024
"""Bytes that are read."""


async def read_object(request: Request, words: Collection[str], *, less: str) -> Mapping[str, Any]:
    """The JSON object of a body, with some of these words and no others.

    Parameters
    ----------
    request : Request
        Whose body is read.
    words : collection of str
        In the order in which a refusal names them.
    less : str
        What to do where the body is too long, as a sentence.

    Raises
    ------
    BadRequest
        For anything else.
    AskLess
        For a long one.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise AskLess(f"The body is larger than {LARGEST_BODY} bytes. {less}")
    try:
        said = json.loads(bytes(content))
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"The body is not JSON. Send an object with: {', '.join(words)}.") from exc
    if not isinstance(said, dict) or set(said) - set(words):
        raise BadRequest(f"The body must be an object with nothing but: {', '.join(words)}.")
    return said
