"""A layer as OGC WMTS 1.0.0 capabilities: one layer, one style, the tile matrix set WebMercatorQuad.

Sources: OGC 07-057r7 (https://portal.ogc.org/files/?artifact_id=35326), annex E for the scales; OGC
17-083r4, annex D.1.
"""

import math
import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

_OWS, _WMTS, _XLINK = (
    "http://www.opengis.net/ows/1.1",
    "http://www.opengis.net/wmts/1.0",
    "http://www.w3.org/1999/xlink",
)
_SET = "WebMercatorQuad"
_CRS = "urn:ogc:def:crs:EPSG::3857"
_LARGEST_SCALE = 559082264.0287178
_HALF_TURN = 20037508.342789244
_HIGHEST = 85.05112877980659
"""Degrees of latitude that Web Mercator has."""

KIND = "application/xml"

_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Layer:
    """What the capabilities say of the one layer."""

    name: str
    title: str
    abstract: str
    bounds: tuple[float, float, float, float]
    """West, south, east, north in degrees."""
    closest: int
    """The last zoom that there is."""
    style: str
    """What its colours mean."""


def render_capabilities(layer: Layer, tiles: str, own: str) -> bytes:
    """The document.

    Parameters
    ----------
    layer : Layer
        What it says.
    tiles : str
        The address of a tile, with ``{z}``, ``{x}`` and ``{y}``.
    own : str
        The address of the document itself.
    """
    for prefix, namespace in (("", _WMTS), ("ows", _OWS), ("xlink", _XLINK)):
        ET.register_namespace(prefix, namespace)
    root = ET.Element(_wmts("Capabilities"), version="1.0.0")
    service = ET.SubElement(root, _ows("ServiceIdentification"))
    for name, text in (("Title", layer.title), ("ServiceType", "OGC WMTS"), ("ServiceTypeVersion", "1.0.0")):
        ET.SubElement(service, _ows(name)).text = _plain(text)
    contents = ET.SubElement(root, _wmts("Contents"))
    _add_layer(
        contents, layer, tiles.replace("{z}", "{TileMatrix}").replace("{x}", "{TileCol}").replace("{y}", "{TileRow}")
    )
    _add_matrix_set(contents, layer.closest)
    ET.SubElement(root, _wmts("ServiceMetadataURL"), {f"{{{_XLINK}}}href": own})
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _add_layer(contents: ET.Element, layer: Layer, template: str) -> None:
    found = ET.SubElement(contents, _wmts("Layer"))
    ET.SubElement(found, _ows("Title")).text = _plain(layer.title)
    ET.SubElement(found, _ows("Abstract")).text = _plain(layer.abstract)
    west, south, east, north = layer.bounds
    box = ET.SubElement(found, _ows("WGS84BoundingBox"))
    ET.SubElement(box, _ows("LowerCorner")).text = f"{west:.7f} {south:.7f}"
    ET.SubElement(box, _ows("UpperCorner")).text = f"{east:.7f} {north:.7f}"
    ET.SubElement(found, _ows("Identifier")).text = _plain(layer.name)
    style = ET.SubElement(found, _wmts("Style"), isDefault="true")
    ET.SubElement(style, _ows("Title")).text = _plain(layer.style)
    ET.SubElement(style, _ows("Identifier")).text = "default"
    ET.SubElement(found, _wmts("Format")).text = "image/png"
    link = ET.SubElement(found, _wmts("TileMatrixSetLink"))
    ET.SubElement(link, _wmts("TileMatrixSet")).text = _SET
    limits = ET.SubElement(link, _wmts("TileMatrixSetLimits"))
    for zoom in range(layer.closest + 1):
        _add_limits(limits, zoom, layer.bounds)
    words = {"format": "image/png", "resourceType": "tile", "template": template}
    ET.SubElement(found, _wmts("ResourceURL"), words)


def _add_limits(limits: ET.Element, zoom: int, bounds: tuple[float, float, float, float]) -> None:
    west, south, east, north = bounds
    (left, right), (top, bottom) = (
        sorted(_clipped(part, 2**zoom) for part in parts)
        for parts in ((_across(west), _across(east)), (_down(north), _down(south)))
    )
    one = ET.SubElement(limits, _wmts("TileMatrixLimits"))
    ET.SubElement(one, _wmts("TileMatrix")).text = str(zoom)
    said = {"MinTileRow": top, "MaxTileRow": bottom, "MinTileCol": left, "MaxTileCol": right}
    for name, at in said.items():
        ET.SubElement(one, _wmts(name)).text = str(at)


def _across(longitude: float) -> float:
    return (longitude + 180) / 360


def _down(latitude: float) -> float:
    angle = math.radians(max(-_HIGHEST, min(_HIGHEST, latitude)))
    return (1 - math.asinh(math.tan(angle)) / math.pi) / 2


def _clipped(part: float, tiles: int) -> int:
    return max(0, min(tiles - 1, math.floor(part * tiles)))


def _add_matrix_set(contents: ET.Element, closest: int) -> None:
    found = ET.SubElement(contents, _wmts("TileMatrixSet"))
    ET.SubElement(found, _ows("Identifier")).text = _SET
    ET.SubElement(found, _ows("SupportedCRS")).text = _CRS
    ET.SubElement(
        found, _wmts("WellKnownScaleSet")
    ).text = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"
    for zoom in range(closest + 1):
        matrix = ET.SubElement(found, _wmts("TileMatrix"))
        ET.SubElement(matrix, _ows("Identifier")).text = str(zoom)
        said = {
            "ScaleDenominator": repr(_LARGEST_SCALE / 2**zoom),
            "TopLeftCorner": f"{-_HALF_TURN!r} {_HALF_TURN!r}",
            "TileWidth": "256",
            "TileHeight": "256",
            "MatrixWidth": str(2**zoom),
            "MatrixHeight": str(2**zoom),
        }
        for name, text in said.items():
            ET.SubElement(matrix, _wmts(name)).text = text


def _plain(text: str) -> str:
    """Without what XML 1.0 cannot say."""
    return _UNSAYABLE.sub("", text)


def _ows(name: str) -> str:
    return f"{{{_OWS}}}{name}"


def _wmts(name: str) -> str:
    return f"{{{_WMTS}}}{name}"
