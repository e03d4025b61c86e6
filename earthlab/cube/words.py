"""The words of a cube, frozen: what a panel chose, and the cell that opens the same cube."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from earthlab.catalog.query import Query
from earthlab.cube.planning import AUTO
from earthlab.errors import BadRequest, did_you_mean


@dataclass(frozen=True, slots=True)
class CubeWords:
    """Those of `earthlab.plan` that people choose in a panel; each at its default where nothing was chosen.

    Attributes
    ----------
    bands : tuple of str
        Common names or asset keys; empty for every band with a common name.
    resolution : float, optional
        Pixel size in units of the CRS.
    crs : str, optional
        As ``"EPSG:2154"``.
    mask : str, optional
        Name of a recipe, ``"auto"`` for the collection's own, None for none.
    group_by : str
        What becomes one date.
    share : bool
        Whether the cube is opened from the store that everybody shares, and built there first.
    """

    bands: tuple[str, ...] = ()
    resolution: float | None = None
    crs: str | None = None
    mask: str | None = AUTO
    group_by: str = "time"
    share: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The words as JSON has them; what is missing is at its default.

        Raises
        ------
        BadRequest
            For a word that there is not.
        """
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                raise BadRequest(f"cube: found the word {name!r}. {did_you_mean(name, known)}")
        return cls(**{**values, "bands": tuple(values.get("bands", ()))})

    def to_plan(self) -> dict[str, Any]:
        """The keywords of `earthlab.plan`: of those at their default nothing."""
        chosen = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "share"}
        return {name: value for name, value in chosen.items() if value != getattr(_DEFAULT, name)}

    def to_open(self) -> dict[str, Any]:
        """The keywords of `earthlab.open`."""
        return {**self.to_plan(), **({"share": True} if self.share else {})}


_DEFAULT = CubeWords()


def render_cell(query: Query, words: CubeWords, catalogue: str | None = None) -> str:
    """A cell of a notebook that searches, opens the cube and shows it.

    Parameters
    ----------
    query : Query
        What is searched.
    words : CubeWords
        How the cube is opened.
    catalogue : str, optional
        Id of the endpoint that is asked; by default the lab's own catalogue.

    Returns
    -------
    str
        Python, which leaves ``items`` and ``cube``. All that was typed stands in it as literals.
    """
    asked = query.to_code()
    if catalogue is not None:
        words_before = asked.removesuffix(")")
        asked = f"{words_before}{'' if words_before.endswith('(') else ', '}catalog={catalogue!r})"
    keywords = "".join(f", {name}={_literal(value)}" for name, value in words.to_open().items())
    return f"import earthlab as el\n\nitems = {asked}\ncube = el.open(items{keywords})\ncube"


def _literal(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)
