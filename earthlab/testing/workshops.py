"""A workshop that takes place at this moment."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from earthlab.services.workshops.text import Notebook, Workshop

_ZONE = "Europe/Paris"
_NOTEBOOKS = (Notebook("theia/neige.ipynb"), Notebook("theia/glacier.ipynb", part=2))


def workshop_now(slug: str = "neige", **fields: Any) -> Workshop:
    """A workshop of three seats and two parts that began an hour ago and lasts eight.

    Parameters
    ----------
    **fields
        Other fields of it in place of those that stand here; `earthlab.services.workshops.text.to_toml` gives its text.
    """
    opens = datetime.now(ZoneInfo(_ZONE)).replace(microsecond=0) - timedelta(hours=1)
    workshop = Workshop(
        slug=slug,
        title={"fr": "Neige des Pyrénées", "en": "Snow of the Pyrenees"},
        opens=opens,
        closes=opens + timedelta(hours=8),
        time_zone=_ZONE,
        seats=3,
        notebooks=_NOTEBOOKS,
        contact="atelier@example.org",
        organisers=("anne",),
        trainers=("ben",),
        retention_days=7,
    )
    return replace(workshop, **fields)
