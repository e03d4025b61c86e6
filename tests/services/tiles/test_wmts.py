"""Capabilities say where the tiles are; titles and licences escape nothing in them."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.services.tiles.wmts import Layer, render_capabilities
from earthlab.view.tiles import Tile

NAMES = {"ows": "http://www.opengis.net/ows/1.1", "wmts": "http://www.opengis.net/wmts/1.0"}
TILES = "https://lab.example/services/tiles/layer/abc/{z}/{x}/{y}.png"


def layer_of(**words):
    said = {"name": "n", "title": "t", "abstract": "a", "bounds": (1.0, 43.0, 1.4, 43.4), "closest": 14, "style": "s"}
    return Layer(**said | words)


def parse(layer):
    return ET.fromstring(render_capabilities(layer, TILES, "https://lab.example/own"))


def test_the_scales_are_those_of_the_well_known_set():
    """The first and the third of OGC 07-057r7, annex E.4."""
    matrices = parse(layer_of()).findall("wmts:Contents/wmts:TileMatrixSet/wmts:TileMatrix", NAMES)
    scales = [float(each.find("wmts:ScaleDenominator", NAMES).text) for each in matrices]
    assert scales[0] == pytest.approx(559082264.0287178)
    assert scales[2] == pytest.approx(139770566.0071794)
    assert len(matrices) == 15
    widths = [int(each.find("wmts:MatrixWidth", NAMES).text) for each in matrices]
    assert widths == [2**zoom for zoom in range(15)]
    # A scale is that of pixels of 0.28 mm.
    assert scales[14] * 0.28e-3 == pytest.approx(Tile(14, 0, 0).resolution)


@given(
    st.tuples(st.floats(-180, 179), st.floats(-85, 84)),
    st.tuples(st.floats(1e-4, 1), st.floats(1e-4, 1)),
    st.integers(0, 20),
)
def test_the_limits_hold_the_layer(corner, size, zoom):
    west, south = corner
    east, north = west + size[0], south + size[1]
    limits = parse(layer_of(bounds=(west, south, east, north), closest=zoom)).findall(".//wmts:TileMatrixLimits", NAMES)
    told = {
        tag: int(limits[-1].find(f"wmts:{tag}", NAMES).text)
        for tag in ("MinTileRow", "MaxTileRow", "MinTileCol", "MaxTileCol")
    }
    for row in (told["MinTileRow"], told["MaxTileRow"]):
        Tile(zoom, 0, row)
    assert told["MinTileRow"] <= told["MaxTileRow"]
    assert told["MinTileCol"] / 2**zoom <= (west + 180) / 360 <= (told["MinTileCol"] + 1) / 2**zoom
    assert told["MaxTileCol"] / 2**zoom <= (east + 180) / 360 <= (told["MaxTileCol"] + 1) / 2**zoom + 1e-9


def test_the_address_of_a_tile_is_in_the_words_of_the_standard():
    (found,) = parse(layer_of()).findall(".//wmts:ResourceURL", NAMES)
    assert found.get("template") == (
        "https://lab.example/services/tiles/layer/abc/{TileMatrix}/{TileCol}/{TileRow}.png"
    )
    assert (found.get("resourceType"), found.get("format")) == ("tile", "image/png")


PLAIN = st.text(st.characters(exclude_characters="\r"), max_size=200)
"""XML reads a carriage return as the end of a line."""

UNSAYABLE = {"\ufffe", "\uffff", *map(chr, range(0xD800, 0xE000))}


@given(PLAIN, PLAIN)
def test_whatever_a_title_says_the_document_is_well_formed_and_says_it(title, abstract):
    root = parse(layer_of(title=title, abstract=abstract, name=title, style=abstract))
    (told,) = root.findall("wmts:Contents/wmts:Layer", NAMES)
    sayable = (letter for letter in title if letter in "\t\n" or (letter >= " " and letter not in UNSAYABLE))
    assert (told.find("ows:Title", NAMES).text or "") == "".join(sayable)
    assert len(list(root.iter())) == len(list(parse(layer_of()).iter()))


def test_a_box_round_the_globe_has_all_tiles():
    limits = parse(layer_of(bounds=(-180.0, -90.0, 180.0, 90.0), closest=3)).findall(".//wmts:TileMatrixLimits", NAMES)
    assert [int(limits[3].find(f"wmts:{tag}", NAMES).text) for tag in ("MinTileRow", "MaxTileRow", "MaxTileCol")] == [
        0,
        7,
        7,
    ]
