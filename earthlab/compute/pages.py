"""No web page is served where nobody signs in."""

from typing import Any


def close_pages(node: Any) -> None:
    """Stop the plain HTTP server of a scheduler or worker and no longer announce it.

    It asks nobody who they are: every account of the machine could read there what runs.
    """
    node.http_server.stop()
    node.services.pop("dashboard", None)
