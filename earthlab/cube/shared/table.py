"""The shared cubes of a store as a table of text."""

from datetime import UTC, datetime

from earthlab.cube.shared.eviction import Use, survey
from earthlab.cube.shared.layout import read_marker
from earthlab.cube.shared.stores import Store
from earthlab.errors import ReadFault

_HEAD = ("token", "bands", "dates", "size", "last read", "state")


def render_table(store: Store) -> str:
    """One line a cube, the most recently used last; what is being built or damaged says so."""
    rows = [_HEAD, *(_row(use) for use in survey(store) if use.finished or use.building)]
    wide = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{store.locate('')}: {len(rows) - 1} cubes"])


def _row(use: Use) -> tuple[str, ...]:
    used = datetime.fromtimestamp(use.used, UTC).strftime("%Y-%m-%d %H:%M")
    bands, dates, state = _content(use)
    return (use.place.token, bands, dates, f"{use.bytes / 1e6:,.1f} MB", used, state)


def _content(use: Use) -> tuple[str, str, str]:
    access = "" if use.place.access == "open" else f"{use.place.access}, "
    if use.building:
        return "", "", f"{access}building"
    current = use.place.read_head()[1].current
    if current is None:
        return "", "", f"{access}evicted"
    try:
        plan = read_marker(use.place, current).plan
    except ReadFault:
        return "", "", f"{access}damaged"
    state = f"read by {use.readers}" if use.readers else "idle"
    return (
        ",".join(plan.bands),
        f"{len(plan.steps)}, {plan.times[0]:%Y-%m-%d}/{plan.times[-1]:%Y-%m-%d}",
        access + state,
    )
