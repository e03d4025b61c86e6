"""What a test has copies of a template do: any code, whose output the test reads."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthlab.kernel.forks import ask_for_fork
from earthlab.kernel.fresh import renew_settings
from earthlab.kernel.identity import Identity, own_identity

LIFE = "probe=earthlab.testing.copies:run_code"
"""The option ``--life`` of a template whose copies `ask_copy` can have."""


def run_code(content: dict[str, Any]) -> int:
    """The life of such a copy: runs ``code``, whose variable ``answer`` goes to the standard output as JSON."""
    renew_settings()
    names: dict[str, Any] = {"content": content}
    exec(content["code"], names)  # noqa: S102 - the test's own
    sys.stdout.write(json.dumps(names.get("answer")))
    return int(names.get("code", 0))


def ask_copy(
    template: Path, code: str, *, identity: Identity | None = None, environment: Mapping[str, str] | None = None
) -> Any:
    """What code answers in a copy of a template.

    Parameters
    ----------
    template : Path
        The socket of a template with the life `LIFE`.
    identity : Identity, optional
        As whom the code runs; by default as we do.
    """
    reader, writer = os.pipe()
    content = {"environment": dict(environment or os.environ), "folder": "/", "owner": os.getpid(), "code": code}
    with os.fdopen(writer, "wb") as end:
        copy = ask_for_fork(
            template, "probe", identity or own_identity(), content, streams=(end.fileno(), 2), seconds=60
        )
    try:
        with os.fdopen(reader) as lines:
            said = lines.read()
        assert copy.wait(30) == 0
    finally:
        copy.close()
    return json.loads(said)
