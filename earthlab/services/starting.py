"""How the hub's services start: with what the hub gives them, or with one line that says what to do.

Light on purpose: what a service serves with is loaded by the service itself.
"""

import sys
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from earthlab.errors import EarthlabError, SetupError


def run_service(serve: Callable[[], None]) -> int:
    """Serve until the hub says stop: the exit code, 1 where that cannot be, with one line on stderr.

    Parameters
    ----------
    serve : callable
        Returns when the service has ended, and raises `EarthlabError` where it cannot begin.
    """
    try:
        serve()
    except EarthlabError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - the one line that the operator reads
        return 1
    return 0


def resolve_start(environ: Mapping[str, str], refusal: str) -> tuple[str, str, int]:
    """The token that the hub gave this service, and the host and port to listen on.

    Parameters
    ----------
    environ : mapping
        Of the process.
    refusal : str
        What to say where one of them is missing.

    Raises
    ------
    SetupError
        Where no hub started this process.
    """
    token = environ.get("JUPYTERHUB_API_TOKEN", "")
    try:
        address = urlsplit(environ.get("JUPYTERHUB_SERVICE_URL", ""))
        host, port = address.hostname, address.port
    except ValueError as exc:
        raise SetupError(refusal) from exc
    if not token or not host or not port:
        raise SetupError(refusal)
    return token, host, port
