#!/usr/bin/env python3
"""Countries of Natural Earth 1:50m, from the package world-atlas, with as much detail as a base map needs.

npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
python scripts/make_world.py package/countries-50m.json style/world.json
"""

import json
import sys
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from shapely import LineString

STEP = 0.01
"""Degrees to which corners are rounded."""
TOLERANCE = 0.025
"""Degrees by which a line may move."""

SMALL = 4
"""Corners of a ring that would be left of an island, at which it is not simplified."""

POLAR, POLAR_TOLERANCE = 58, 0.1
"""Latitude beyond which hardly anybody looks closely, and by how much a line may move there."""


def shrink_world(atlas: dict[str, Any]) -> dict[str, Any]:
    """A TopoJSON of the same polygons, whose lines have fewer corners; without names."""
    (east, north), (west, south) = atlas["transform"]["scale"], atlas["transform"]["translate"]
    arcs = []
    for arc in atlas["arcs"]:
        steps = zip(*(accumulate(side) for side in zip(*arc, strict=True)), strict=True)
        arcs.append(_deltas(_simplify([(x * east + west, y * north + south) for x, y in steps])))
    shapes = [{"type": shape["type"], "arcs": shape["arcs"]} for shape in atlas["objects"]["countries"]["geometries"]]
    countries = {"type": "GeometryCollection", "geometries": shapes}
    transform = {"scale": [STEP, STEP], "translate": [0, 0]}
    return {"type": "Topology", "transform": transform, "objects": {"countries": countries}, "arcs": arcs}


def _simplify(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    tolerance = POLAR_TOLERANCE if min(abs(y) for _, y in line) > POLAR else TOLERANCE
    kept = list(LineString(line).simplify(tolerance).coords)
    return line if line[0] == line[-1] and len(kept) <= SMALL else kept  # a small island stays one


def _deltas(line: list[tuple[float, float]]) -> list[list[int]]:
    corners = [(round(x / STEP), round(y / STEP)) for x, y in line]
    deltas = [list(corners[0])]
    for (x, y), (x1, y1) in pairwise(corners):
        if (x1, y1) != (x, y):
            deltas.append([x1 - x, y1 - y])
    return deltas if len(deltas) > 1 else [*deltas, [0, 0]]


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    target.write_text(json.dumps(shrink_world(json.loads(source.read_text())), separators=(",", ":")) + "\n")
