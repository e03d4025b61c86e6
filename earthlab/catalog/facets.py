"""How an answer is made up: counts for each collection, satellite, instrument, month and class of clouds, over time."""

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from earthlab.catalog.statements import bare_name

if TYPE_CHECKING:
    from earthlab.catalog.itemset import Item

Unit = Literal["day", "month", "year"]

_CLOUDS = ((10, "0–10 %"), (30, "10–30 %"), (60, "30–60 %"), (101, "60–100 %"))
_UNSTATED = "non précisé / not stated"
_TITLES = {
    "collections": "Collections / collections",
    "platforms": "Satellites / platforms",
    "instruments": "Instruments / instruments",
    "months": "Mois / months",
    "clouds": "Nuages / cloud cover",
}
_UNITS = {"day": "par jour / a day", "month": "par mois / a month", "year": "par an / a year"}
_DAYS, _YEARS = 62, 6
"""Longest spans, in days and years, that are shown day by day and month by month."""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of the items of an answer.

    Attributes
    ----------
    total : int
        Number of items.
    collections, platforms, instruments : mapping of str to int
        Most items first; an item with two instruments counts for both. Spellings of a satellite or an instrument are
        one: ``"SENTINEL2A"`` and ``"sentinel-2a"``.
    months : mapping of str to int
        ``"2018-07"``, as ``time=`` takes it; in order, without empty ones.
    clouds : mapping of str to int
        In four classes of percent, and those that state none.
    histogram : mapping of str to int
        Items a ``unit`` from the first to the last, with the empty ones between; each key is understood by ``time=``.
    unit : str
        ``"day"``, ``"month"`` or ``"year"``, by the length of time.
    """

    total: int
    collections: Counts = field(hash=False)
    platforms: Counts = field(hash=False)
    instruments: Counts = field(hash=False)
    months: Counts = field(hash=False)
    clouds: Counts = field(hash=False)
    histogram: Counts = field(hash=False)
    unit: Unit

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        counts = {name: dict(getattr(self, name)) for name in (*_TITLES, "histogram")}
        return {"total": self.total, "unit": self.unit, **counts}

    def _repr_html_(self) -> str:
        tables = "".join(_table(title, getattr(self, name)) for name, title in _TITLES.items())
        head = f"<p><b>{self.total}</b> images, produits / items</p>"
        return (
            f"<div>{head}{_drawing(self)}"
            f"<div style='display:flex;flex-wrap:wrap;align-items:flex-start;gap:1.5em'>{tables}</div></div>"
        )


def count_facets(items: "Iterable[Item]") -> Facets:
    """The counts of these items."""
    answer = tuple(items)
    unit, bins = _bins([item.moment for item in answer])
    months = Counter(f"{item.moment:%Y-%m}" for item in answer)
    return Facets(
        total=len(answer),
        collections=_most_first(Counter(item.collection or _UNSTATED for item in answer)),
        platforms=_most_first(_alike(item.platform or _UNSTATED for item in answer)),
        instruments=_most_first(_alike(name for item in answer for name in item.instruments or (_UNSTATED,))),
        months=dict(sorted(months.items())),
        clouds=_in_classes(answer),
        histogram=bins,
        unit=unit,
    )


def _most_first(counts: Counter[str]) -> Counts:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _alike(names: Iterable[str]) -> Counter[str]:
    """Counts of names, of which spellings are the same name: the most frequent spelling is shown."""
    spellings = Counter(names)
    shown: dict[str, str] = {}
    for name, _ in sorted(spellings.items(), key=lambda pair: (-pair[1], pair[0])):
        shown.setdefault(bare_name(name), name)
    counts: Counter[str] = Counter()
    for name, count in spellings.items():
        counts[shown[bare_name(name)]] += count
    return counts


def _in_classes(items: "tuple[Item, ...]") -> Counts:
    counts = Counter(_cloud_class(item.cloud_cover) for item in items)
    return {name: counts[name] for name in (*(name for _, name in _CLOUDS), _UNSTATED) if counts[name]}


def _cloud_class(cover: float | None) -> str:
    return _UNSTATED if cover is None else next(name for below, name in _CLOUDS if cover < below or below > 100)


def _bins(moments: list[datetime]) -> tuple[Unit, Counts]:
    if not moments:
        return "day", {}
    first, last = min(moments), max(moments)
    unit: Unit = "day" if (last - first).days < _DAYS else "month" if last.year - first.year < _YEARS else "year"
    counts = Counter(_key(moment, unit) for moment in moments)
    return unit, {key: counts[key] for key in _keys(first, last, unit)}


def _key(moment: datetime, unit: Unit) -> str:
    return moment.strftime({"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}[unit])


def _keys(first: datetime, last: datetime, unit: Unit) -> Iterator[str]:
    moment, end = datetime(first.year, first.month, first.day, tzinfo=UTC), _key(last, unit)
    step = timedelta(days={"day": 1, "month": 27, "year": 364}[unit])
    seen = ""
    while seen != end:
        key = _key(moment, unit)
        if key != seen:
            yield key
        seen, moment = key, moment + step


def _table(title: str, counts: Counts) -> str:
    most = max(counts.values(), default=1)
    rows = "".join(_row(name, count, most) for name, count in list(counts.items())[:24])
    more = f"<tr><td colspan=3>… {len(counts) - 24} de plus / more</td></tr>" if len(counts) > 24 else ""
    return f"<table><caption style='text-align:left'><b>{title}</b></caption>{rows}{more}</table>" if rows else ""


def _row(name: str, count: int, most: int) -> str:
    bar = f"<div style='height:.8em;width:{100 * count / most:.1f}%;background:currentColor;opacity:.5'></div>"
    return (
        f"<tr><th scope='row' style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:right'>{count}</td><td aria-hidden='true' style='width:8em'>{bar}</td></tr>"
    )


def _drawing(facets: Facets) -> str:
    bins = list(facets.histogram.items())
    if not bins:
        return ""
    most, wide = max(facets.histogram.values()), 600 / len(bins)
    bars = "".join(
        f"<rect x='{at * wide:.2f}' y='{80 - 80 * count / most:.2f}' width='{wide * 0.9:.2f}' "
        f"height='{80 * count / most:.2f}'><title>{key} : {count}</title></rect>"
        for at, (key, count) in enumerate(bins)
    )
    title = f"Histogramme, images {_UNITS[facets.unit]}"
    peak = max(bins, key=lambda pair: pair[1])
    told = f"{title} : {bins[0][0]} – {bins[-1][0]}, maximum {peak[1]} ({peak[0]})"
    return (
        f"<figure style='margin:0'><svg role='img' aria-label='{told}' viewBox='0 0 600 80' width='600' height='80' "
        f"fill='currentColor' fill-opacity='.6' style='max-width:100%'>{bars}</svg>"
        f"<figcaption>{told}</figcaption></figure>"
    )
