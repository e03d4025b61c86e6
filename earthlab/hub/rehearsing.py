"""What a rehearsal may do in the hub, by a token of its own: see who is there, and remove its seats afterwards."""

import os
import secrets
from typing import Any

from earthlab.errors import SetupError
from earthlab.hub.layout import Layout

SERVICE = "rehearsal"

_SCOPES = ["list:users", "read:servers", "delete:users"]


def make_rehearsal_token(layout: Layout) -> None:
    """Put the token into the hub's folder, which only the operator may read; a token that is there stays."""
    try:
        descriptor = os.open(layout.rehearsal_token, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))


def read_rehearsal_token(layout: Layout) -> str:
    """The token.

    Raises
    ------
    SetupError
        Where there is none: no hub of this state was started yet that knows rehearsals.
    """
    try:
        return layout.rehearsal_token.read_text(encoding="ascii")
    except OSError as exc:
        raise SetupError(
            f"{layout.rehearsal_token} cannot be read ({exc.strerror}). Start the lab anew, and ask as its account."
        ) from exc


def rehearsal_service(layout: Layout) -> dict[str, Any]:
    """The hub's service entry: no process and no address, only a name with a token."""
    return {"name": SERVICE, "api_token": read_rehearsal_token(layout), "display": False}


def rehearsal_role() -> dict[str, Any]:
    """The hub's role for it."""
    words = "Lists users and removes the seats of a rehearsal; for who may read the hub's own folder"
    return {"name": "earthlab-rehearsal", "description": words, "scopes": _SCOPES, "services": [SERVICE]}
