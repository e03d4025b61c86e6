"""Tables that no suffix tells of: what answers at their address is named by the ``profile`` of their media type."""

from email.message import Message
from functools import lru_cache

DARWIN_CORE_ARCHIVE = "http://rs.tdwg.org/dwc/text/"
"""A zip with a ``meta.xml`` (Darwin Core text guide)."""

OCCURRENCES = "http://rs.tdwg.org/dwc/terms/"
"""Pages of JSON with Darwin Core terms, as the occurrence search of GBIF gives them."""

OBSERVATIONS = "http://www.opengis.net/spec/iot_sensing/1.1"
"""Pages of observations of an OGC SensorThings service."""

TABLEDAP = "https://erddap.github.io/docs/user/tabledap"
"""The rows of an ERDDAP dataset that the address asks for."""

ASKED = frozenset({OCCURRENCES, OBSERVATIONS, TABLEDAP})
"""Those whose address holds a question: they are computed for it, and hold nothing beyond it."""

PROFILES = ASKED | {DARWIN_CORE_ARCHIVE}


def profiled(media_type: str, profile: str) -> str:
    """The media type with a profile as its parameter."""
    return f'{media_type}; profile="{profile}"'


def profile_of(media_type: str) -> str:
    """The profile that a media type states, or nothing."""
    return parameter_of(media_type, "profile")


@lru_cache(maxsize=256)
def parameter_of(media_type: str, name: str) -> str:
    """A parameter of a media type, such as ``charset``, or nothing."""
    message = Message()
    message["content-type"] = media_type
    return str(message.get_param(name, ""))
