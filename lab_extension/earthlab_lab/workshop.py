"""The workshop in which this server has a seat, or whose room its user watches: agenda, progress, hand, messages.

Nothing of what is written or computed here goes to the workshops' service: it is asked, and told of the hand.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from earthlab.errors import NotAllowed, SetupError
from earthlab_lab.routes import Asked, Route
from earthlab_lab.schemas import COUNT, FLAG, NUMBER, WORDS, Schema, listed, maybe, render_words, shape, text
from earthlab_lab.services import SERVICES, TOKEN, Service, own_token

SEAT_OF = "EARTHLAB_WORKSHOP"
"""Variable of the servers that are a workshop's seats."""

MOST_TOLD, MOST_LESSONS, MOST_ROOMS = 20, 40, 50

SEAT: Schema = shape(
    {
        "slug": text(40), "number": COUNT, "title": WORDS, "contact": text(200), "stage": text(20),
        "closes": NUMBER, "now": NUMBER, "unlocked": COUNT, "cells": text(20_000, pattern="^[.rdf]*$"),
        "lessons": listed(shape({"path": text(300), "part": COUNT, "cells": COUNT}), MOST_LESSONS),
        "error": text(80), "hand": maybe(NUMBER),
        "messages": listed(shape({"number": COUNT, "text": text(4000)}), MOST_TOLD),
        "pushed": listed(shape({"number": COUNT, "source": text(4000)}), MOST_TOLD),
        "help": maybe(shape({"number": COUNT, "trainer": text(200)})),
        "page": text(300),
    }
)  # fmt: skip
"""One's own seat: times in seconds since 1970; ``cells`` a letter each in the order of the lessons, ``.`` not reached,
``r`` running, ``d`` done, ``f`` failed; ``page`` the path of the service's own page."""

ROOM: Schema = shape(
    {
        "slug": text(40), "title": WORDS, "closes": NUMBER, "here": COUNT, "hands": COUNT, "stuck": COUNT,
        "finished": COUNT, "page": text(300),
    }
)  # fmt: skip
"""A room that one may watch, in counts of seats; ``page`` is the path of its wall."""

WORKSHOP: Schema = shape({"seat": maybe(SEAT), "rooms": listed(ROOM, MOST_ROOMS)})

HAND_ASKED: Schema = shape({"up": FLAG})
HAND: Schema = shape({"hand": maybe(NUMBER)})
"""Since when it is raised, in seconds since 1970."""


def make_workshop_routes() -> tuple[Route, ...]:
    """The routes of the workshop's panel."""
    return (
        Route("GET", "workshop", read_workshop, gives=WORKSHOP),
        Route("POST", "workshop/hand", raise_hand, HAND_ASKED, HAND),
    )


async def read_workshop(_asked: Asked) -> dict[str, Any]:
    """One's seat, or the rooms that one may watch; neither for most people, and outside of a lab.

    Raises
    ------
    SetupError
        Where the service does not answer.
    NotAllowed
        Where the seat is no longer part of a workshop.
    """
    if not (os.environ.get(SERVICES) and os.environ.get(TOKEN)):
        return {"seat": None, "rooms": []}
    service = _service()
    if os.environ.get(SEAT_OF):
        return {"seat": _seat(await service.ask("GET", "place")), "rooms": []}
    return {"seat": None, "rooms": [_room(each) for each in (await service.ask("GET", "rooms"))["rooms"][:MOST_ROOMS]]}


async def raise_hand(asked: Asked) -> dict[str, Any]:
    """Raise or lower one's hand.

    Raises
    ------
    NotAllowed
        For who has no seat.
    SetupError
        Where the service does not answer.
    """
    if not os.environ.get(SEAT_OF):
        raise NotAllowed(
            "Seules les places d’un atelier ont une main à lever : entrez avec un passe. | "
            "Only a workshop's seats have a hand to raise: come in with a pass."
        )
    return {"hand": (await _service().ask("POST", "place/hand", {"up": asked.words["up"]}))["hand"]}


def _service() -> Service:
    address = f"{os.environ.get(SERVICES, '').rstrip('/')}/workshops/api"
    return Service(("Le service des ateliers", "The workshops' service"), address, own_token(), away=SetupError)


def _seat(told: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("slug", "number", "contact", "stage", "closes", "now", "unlocked", "cells", "lessons", "error", "hand")
    return {
        **{name: told[name] for name in plain},
        "title": render_words(told["title"]),
        "messages": [{"number": each["number"], "text": each["text"]} for each in told["messages"][-MOST_TOLD:]],
        "pushed": [{"number": each["number"], "source": each["source"]} for each in told["pushed"][-MOST_TOLD:]],
        "help": told["help"] and {"number": told["help"]["number"], "trainer": told["help"]["trainer"]},
        "page": _page("place"),
    }


def _room(told: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("slug", "closes", "here", "hands", "stuck", "finished")
    return {
        **{name: told[name] for name in plain},
        "title": render_words(told["title"]),
        "page": _page(f"w/{told['slug']}/wall"),
    }


def _page(path: str) -> str:
    """Where people open a page of the service, on the address under which they opened JupyterLab."""
    return f"{urlsplit(os.environ.get(SERVICES, '')).path.rstrip('/')}/workshops/{path}"
