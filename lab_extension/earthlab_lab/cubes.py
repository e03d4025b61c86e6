"""The drawer: what a cube of an answer would be and cost, and the cell that opens it."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from earthlab.errors import NotAllowed, SetupError
from earthlab_lab.desk import Desk
from earthlab_lab.questions import QUESTION, parse_question
from earthlab_lab.routes import Asked
from earthlab_lab.schemas import (
    COUNT,
    FLAG,
    NUMBER,
    Schema,
    listed,
    maybe,
    number,
    one_of,
    shape,
    text,
)

if TYPE_CHECKING:
    from earthlab.catalog import ItemSet
    from earthlab.cube import CubePlan

_WORDS: Schema = shape(
    {},
    {
        "bands": listed(text(300, least=1), 200),
        "resolution": maybe(number(1e-9, 1e7)),
        "crs": maybe(text(100, least=1)),
        "mask": maybe(text(100, least=1)),
        "group_by": one_of("time", "solar_day", "month", "granule"),
        "share": FLAG,
    },
)
"""`earthlab.cube.words.CubeWords`."""

CUBE_ASKED: Schema = shape({"question": QUESTION, "cube": _WORDS}, {"catalogue": maybe(text(300, least=1))})
"""``catalogue``: the endpoint that is asked, the lab's own by default."""

CHOICES: Schema = shape(
    {
        "items": COUNT,
        "collections": listed(text()),
        "bands": listed(shape({"name": text(), "common": FLAG, "unit": text()})),
        "masks": listed(shape({"name": text(), "why": text(4000)})),
        "crs": listed(text()),
        "resolution": maybe(NUMBER),
    }
)
"""What there is to choose from for an answer."""

PLAN: Schema = shape(
    {
        "token": text(40),
        "items": COUNT,
        "dates": COUNT,
        "bands": listed(shape({"name": text(), "unit": text()})),
        "grid": text(),
        "mask": maybe(shape({"name": text(), "why": text(4000)})),
        "missing": COUNT,
        "reads": COUNT,
        "bytes": COUNT,
        "tasks": COUNT,
        "peak": COUNT,
        "seconds": NUMBER,
        "limit": maybe(COUNT),
        "shared": maybe(shape({"created": text(40)})),
        "simulated": FLAG,
        "licences": listed(text()),
        "access": text(),
    }
)
"""What a cube takes: its bytes, ``peak`` bytes of a thread, seconds of a core; ``limit``: bytes that one may have."""


async def choose(desk: Desk, asked: Asked) -> dict[str, Any]:
    """What there is to choose from for an answer; searches it first, where it is not among the last.

    Raises
    ------
    EarthlabError
        As `earthlab.search` does.
    """
    query, catalogue = parse_question(asked.words["question"]), asked.words.get("catalogue")
    items = await desk.ask(lambda: desk.find_items(query, catalogue))
    return await desk.work(lambda: _choices(items))


async def plan(desk: Desk, asked: Asked) -> dict[str, Any]:
    """What the cube of an answer would take. No pixel is read.

    Raises
    ------
    EarthlabError
        As `earthlab.plan` does.
    """
    query, catalogue = parse_question(asked.words["question"]), asked.words.get("catalogue")
    items = await desk.ask(lambda: desk.find_items(query, catalogue))
    return await desk.work(lambda: _explained(items, asked.words["cube"]))


async def write_cell(_desk: Desk, asked: Asked) -> dict[str, Any]:
    """The cell of a notebook that opens the cube, marked with what was asked."""
    from earthlab.cube.words import CubeWords, render_cell

    query, catalogue = parse_question(asked.words["question"]), asked.words.get("catalogue")
    code = render_cell(query, CubeWords.from_dict(asked.words["cube"]), catalogue)
    mark = {"query": query.to_dict(), "cube": dict(asked.words["cube"]), "catalogue": catalogue}
    return {"code": code, "metadata": {"earthlab": mark}}


def _choices(items: "ItemSet") -> dict[str, Any]:
    from earthlab.catalog import find_profile

    common = {band.common_name for item in items for band in item.bands if band.common_name}
    units = {name: band.unit or "" for item in items for band in item.bands for name in (band.common_name, band.asset)}
    profiles = [profile for name in items.collections if (profile := find_profile(name))]
    masks = {name: recipe for profile in profiles for name, recipe in profile.masks.items()}
    pixels = [band.pixel for item in items for band in item.bands if band.pixel]
    return {
        "items": len(items),
        "collections": list(items.collections),
        "bands": [{"name": name, "common": name in common, "unit": units.get(name, "")} for name in items.band_names()],
        "masks": [{"name": name, "why": recipe.why} for name, recipe in masks.items()],
        "crs": sorted({band.crs for item in items for band in item.bands if band.crs and len(band.crs) < 100}),
        "resolution": min(pixels, default=None),
    }


def _explained(items: "ItemSet", chosen: Mapping[str, Any]) -> dict[str, Any]:
    from earthlab.cube import plan as plan_cube
    from earthlab.cube.words import CubeWords

    words = CubeWords.from_dict(chosen)
    planned = plan_cube(items, **words.to_plan())
    told = planned.explain()
    return {
        "token": told.token,
        "items": told.items,
        "dates": told.dates,
        "bands": [{"name": name, "unit": unit} for name, unit in zip(told.bands, told.units, strict=True)],
        "grid": told.grid,
        "mask": {"name": planned.mask.name, "why": planned.mask.why} if planned.mask else None,
        "missing": len(told.missing),
        "reads": told.reads,
        "bytes": told.bytes,
        "tasks": told.tasks,
        "peak": told.peak_bytes,
        "seconds": round(told.core_seconds, 3),
        "limit": _own_limit(),
        "shared": _shared(planned),
        "simulated": told.simulated,
        "licences": list(planned.licences),
        "access": planned.access,
    }


def _shared(planned: "CubePlan") -> dict[str, Any] | None:
    from earthlab.cube.shared import find_shared

    try:
        found = find_shared(planned, wait=False)
    except (NotAllowed, SetupError):  # whoever may not read it, or has no store, has none
        return None
    return {"created": found.marker.created} if found else None


def _own_limit() -> int | None:
    """Bytes that a process of this person may have, as the hub has set it; None where nobody has."""
    limit = os.environ.get("EARTHLAB_SERVER_MEMORY", "")
    return int(limit) if limit.isdigit() else None
