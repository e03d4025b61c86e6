"""What a user's server was started with, noted for the ssh door so that whoever comes by it lands in the same place.

The hub alone knows it all: account, groups, bounds, folders, and the environment with the server's own token. It writes
that into a file which only its own account can read, and removes it when the server has ended.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from earthlab.hub.accounts import account_name
from earthlab.hub.layout import Layout
from earthlab.kernel.identity import Identity, parse_identity


@dataclass(frozen=True, slots=True)
class Inside:
    """As whom, with what environment and where a user's processes run."""

    identity: Identity
    environment: Mapping[str, str]
    home: str


def note_inside(layout: Layout, user: str, inside: Inside) -> None:
    """Keep it for the ssh door."""
    layout.inside.mkdir(mode=0o700, exist_ok=True)
    file = _file(layout, user)
    content = {
        "identity": inside.identity.to_dict(),
        "environment": dict(inside.environment),
        "home": inside.home,
    }
    # Whole or not at all: somebody may be reading the one before.
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(content, out)
    fresh.replace(file)


def read_inside(layout: Layout, user: str) -> Inside | None:
    """What `note_inside` has kept; ``None`` where the user has no server."""
    try:
        content = json.loads(_file(layout, user).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    environment = {str(name): str(value) for name, value in content["environment"].items()}
    return Inside(parse_identity(content["identity"]), environment, str(content["home"]))


def forget_inside(layout: Layout, user: str) -> None:
    """Remove it, where it is there."""
    _file(layout, user).unlink(missing_ok=True)


def sweep_inside(layout: Layout) -> None:
    """Remove that of all users. For when none of their servers runs any more."""
    if layout.inside.is_dir():
        shutil.rmtree(layout.inside)


def _file(layout: Layout, user: str) -> Path:
    return layout.inside / f"{account_name(user, layout.lab_id)}.json"
