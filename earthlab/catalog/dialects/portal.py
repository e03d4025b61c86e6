"""Services for people alone: refused, with the link to the page."""

from typing import NoReturn

from earthlab.catalog.profiles import Endpoint
from earthlab.errors import BadRequest


def refuse_portal(endpoint: Endpoint) -> NoReturn:
    """Say that a service has no known machine interface, and where its page is.

    Raises
    ------
    BadRequest
        Always.
    """
    raise BadRequest(
        f"{endpoint.title['fr']} / {endpoint.title['en']} ({endpoint.id}) has no known machine interface, so that "
        f"el.search cannot ask it. Search on its page: {endpoint.url}"
    )
