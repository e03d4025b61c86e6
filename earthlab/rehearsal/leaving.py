"""``python -m earthlab.rehearsal.leaving``: removes the seats of a rehearsal once the rehearsal has ended.

It waits for the end of its input, which comes however the rehearsal ends, and then takes users, servers, accounts and
homes away. A last line on its output names, as JSON, what would not go.
"""

import json
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from earthlab.errors import BadRequest, EarthlabError
from earthlab.hub.accounts import REHEARSAL_PREFIX, remove_account
from earthlab.hub.layout import Layout, local_url, resolve_accounts, resolve_layout
from earthlab.hub.rehearsing import read_rehearsal_token
from earthlab.settings import Settings, load_settings

_AT_A_TIME = 8
_PATIENCE = 180.0
_PAGE = 200
_SEAT = re.compile(rf"{re.escape(REHEARSAL_PREFIX)}\d{{3,}}")


def main() -> int:
    """Wait, then remove; 1 where something is left."""
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, signal.SIG_IGN)
    sys.stdin.buffer.read()
    try:
        left = remove_seats(load_settings())
    except EarthlabError as exc:
        left = [str(exc)]
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(left) + "\n")
        sys.stdout.flush()
    return 1 if left else 0


def remove_seats(settings: Settings) -> list[str]:
    """Take every seat of rehearsals out of the running lab.

    Returns
    -------
    list of str
        What is left, with the reason; normally empty.
    """
    layout = resolve_layout(settings)
    door = _Door(local_url(settings.lab), read_rehearsal_token(layout))
    left: list[str] = []
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for trouble in pool.map(lambda user: _removed(door, settings, layout, user), _seats(door, layout)):
            left += trouble
    return left


def _seats(door: "_Door", layout: Layout) -> Sequence[str]:
    known = {user["name"] for user in door.users() if _SEAT.fullmatch(user["name"])}
    return sorted(known | _seats_with_homes(layout))


def _seats_with_homes(layout: Layout) -> set[str]:
    # A seat whose user went and whose home stayed, as after a power cut.
    found = (re.match(rf"el-({_SEAT.pattern})-[0-9a-f]{{6}}$", path.name) for path in layout.homes.iterdir())
    return {match[1] for match in found if match}


def _removed(door: "_Door", settings: Settings, layout: Layout, user: str) -> list[str]:
    try:
        door.remove(user)
        remove_account(user, layout, resolve_accounts(settings))
    except (EarthlabError, OSError) as exc:
        return [f"{user}: {exc}"]
    return []


@dataclass(frozen=True, slots=True)
class _Door:
    """The hub's API as the rehearsal may use it."""

    base: str
    token: str

    def users(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            status, said = self._ask("GET", f"users?offset={len(found)}&limit={_PAGE}")
            if status != 200:
                raise BadRequest(
                    f"the hub does not tell who is there ({status}). Wait until the lab says that it is ready; if it "
                    "has, start it anew: its hub is of a version without rehearsals."
                )
            page = json.loads(said)
            found += page
            if len(page) < _PAGE:
                return found

    def remove(self, user: str) -> None:
        """Stop the user's server and forget the user; waits for a server that is just starting or stopping."""
        until = time.monotonic() + _PATIENCE
        _until(lambda: not self._pending(user), until)
        while True:
            status, said = self._ask("DELETE", f"users/{user}")
            if status in {204, 404}:
                return
            if time.monotonic() > until:
                raise OSError(f"the hub would not remove the user: {status} {said[:200]!r}")
            time.sleep(1)

    def _pending(self, user: str) -> bool:
        status, said = self._ask("GET", f"users/{user}")
        return status == 200 and bool(json.loads(said).get("pending"))

    def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        request = urllib.request.Request(  # noqa: S310 - our own hub
            f"{self.base}/hub/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        try:
            with _DIRECT.open(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()
        except OSError as exc:
            raise BadRequest(f"the hub does not answer ({exc}). See whether the lab is still running.") from exc


# The operator's proxy leads to the world, not to this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _until(holds: Callable[[], bool], until: float) -> None:
    while not holds() and time.monotonic() < until:
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
