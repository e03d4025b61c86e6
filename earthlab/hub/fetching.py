"""A workshop's material brought into a seat's pod, which has no folder in common with the workshops' service."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from earthlab.errors import EarthlabError
from earthlab.hub.handout import VARIABLE, write_handout
from earthlab.hub.passes import parse_seat

FAR = "EARTHLAB_WORKSHOP_FAR"
"""Environment variable that is set where what a workshop hands out has to be asked for; the folder is filled by us."""

PATIENCE = 60.0
"""Seconds for which a service that does not answer is asked again: a class that begins wants its notebooks."""

_FOLDER = ".local/share/earthlab/ateliers"
_AGAIN_AFTER = 2.0
_WITHIN = 20.0
_DIRECT = build_opener(ProxyHandler({}))


class HandoutUnavailable(EarthlabError):
    """The workshops' service does not give a seat's material.

    Parameters
    ----------
    words : str
    passing : bool
        Whether another try may have more luck.
    """

    def __init__(self, words: str, *, passing: bool) -> None:
        super().__init__(words)
        self.passing = passing


def plan_far_handout(user: str, home: str) -> dict[str, str]:
    """The environment by which a seat's pod finds its workshop's material; nothing for other users."""
    seat = parse_seat(user)
    return {VARIABLE: f"{home}/{_FOLDER}/{seat[0]}", FAR: "1"} if seat else {}


def fetch_handout(
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Bring what the workshop of this seat hands out into the folder of `VARIABLE`: all of it, or what was there stays.

    Raises
    ------
    HandoutUnavailable
        Where the service refuses, or has not answered within `PATIENCE` seconds.
    OSError
        Where the home takes nothing in.
    """
    url = f"{environ['EARTHLAB_SERVICES'].rstrip('/')}/workshops/api/handout"
    until = clock() + PATIENCE
    while True:
        try:
            found = _ask(url, environ["JUPYTERHUB_API_TOKEN"])
            break
        except HandoutUnavailable as exc:
            if not exc.passing or clock() > until:
                raise
            sys.stderr.write(f"earthlab: {exc} It is asked again.\n")
            pause(_AGAIN_AFTER)
    write_handout(Path(environ[VARIABLE]), found["manifest"], found["originals"])


def _ask(url: str, token: str) -> Mapping[str, Any]:
    request = Request(url, headers={"Authorization": f"token {token}"})  # noqa: S310 - the operator's own address
    try:
        with _DIRECT.open(request, timeout=_WITHIN) as answer:
            said: Mapping[str, Any] = json.load(answer)
            return said
    except HTTPError as exc:
        exc.close()
        if exc.code >= 500:
            raise HandoutUnavailable(f"The workshops' service answers {exc.code}.", passing=True) from exc
        words = f"The workshops' service answers {exc.code}. Ask the trainer whether this seat is still open."
        raise HandoutUnavailable(words, passing=False) from exc
    except (OSError, HTTPException, ValueError) as exc:
        words = f"The workshops' service does not answer ({type(exc).__name__})."
        raise HandoutUnavailable(words, passing=True) from exc
