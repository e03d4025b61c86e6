"""A cube or a table on a map, in the notebook: the picture travels inside it, so the hub needs no further route."""

import html
import json
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from ipyleaflet import FullScreenControl, GeoJSON, ImageOverlay, LayersControl, Map, ScaleControl, WidgetControl
from ipywidgets import HTML
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject

from earthlab.errors import BadRequest, did_you_mean
from earthlab.view.colours import NOTHING_SEEN, Stretch, paint, render_png, resolve_stretch
from earthlab.view.layers import Layer, Picture, Shapes, describe_layer, norm_shapes
from earthlab.view.static import render_map

MOST_PIXELS = 1024
"""Longest side of the picture that is sent to the browser."""

_SCREEN = (640, 440)
"""Pixels that a map in a notebook has at least, wide and high."""

_CLOSEST = 20

_RGB = ("red", "green", "blue")


class LabMap(Map):  # type: ignore[misc]  # ipyleaflet has no types
    """A map that is also a picture: what it shows survives where no widget can be shown."""

    def __init__(self, drawn: tuple[Layer, ...] = (), **words: Any) -> None:
        super().__init__(**words)
        self._drawn = drawn

    @property
    def drawn(self) -> tuple[Layer, ...]:
        """The layers, the lowest first."""
        return self._drawn

    def on_mouse(self, **event: Any) -> None:
        """Give the wheel to the map when it is clicked, and back to the page when the mouse leaves it."""
        match event.get("type"):
            case "click":
                self.scroll_wheel_zoom = True
            case "mouseout":
                self.scroll_wheel_zoom = False

    def overlay(self, layer: Layer) -> None:
        """Note a further layer, above the others."""
        self._drawn = (*self._drawn, layer)

    def _repr_mimebundle_(self, **words: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**words)
        return bundle | {
            "text/plain": "\n".join(f"Carte / map · {describe_layer(layer)}" for layer in self._drawn),
            "image/png": render_map(self._drawn),
        }


def show(  # noqa: PLR0913 - the words of a map
    layer: xr.DataArray | xr.Dataset | gpd.GeoDataFrame,
    *,
    band: str | None = None,
    column: str | None = None,
    time: int | str = -1,
    vmin: float | None = None,
    vmax: float | None = None,
    colormap: str = "viridis",
    title: str | None = None,
    over: LabMap | None = None,
) -> LabMap:
    """A map of one layer: computes it, at the resolution of the screen, and draws it where it lies.

    Parameters
    ----------
    layer : DataArray, Dataset or GeoDataFrame
        A layer with ``y``, ``x`` and a CRS, or a table of points, lines or areas. Of a dataset with red, green and blue
        and no ``band`` given, the natural colours are shown.
    band : str, optional
        Which variable of a dataset.
    column : str, optional
        Of a table, what gives the colours: numbers, or at most eight names. Without it all rows have one colour.
    time : int or str
        Which date, by its place or by its text (``"2018-07"``: the nearest); only where there is an axis ``time``.
    vmin, vmax : float, optional
        Values at the ends of the colours; by default the 2nd and 98th percentile.
    colormap : str
        Of matplotlib.
    title : str, optional
        By default the layer's name and date.
    over : LabMap, optional
        What `show` gave before: the layer is laid over it, and the same map is given back.

    Returns
    -------
    LabMap
        An ipyleaflet map with the layer, its legend with units, a scale and full screen. No outside base map is loaded.
        Where a notebook is read without a kernel, a picture of the same stands in its place.

    Raises
    ------
    BadRequest
        For a band, column, date or colour map that does not exist, more than eight names, or a layer that has no place
        on the Earth.
    """
    if isinstance(layer, gpd.GeoDataFrame):
        shapes = norm_shapes(layer, column, (vmin, vmax), colormap, title)
        return _lay(shapes, _vectors(shapes), _outline(shapes), over)
    picture = _at_screen_size(_at_time(_one_picture(layer, band), time))
    drawn = _paint(
        picture, resolve_stretch(picture.values, vmin, vmax), colormap, title, simulated=_is_simulated(layer)
    )
    box = drawn.geobox.geographic_extent.boundingbox
    bounds = ((box.bottom, box.left), (box.top, box.right))
    overlay = ImageOverlay(url=render_png(drawn.colours), bounds=bounds, name=drawn.caption)
    return _lay(drawn, overlay, bounds, over)


def _paint(
    picture: xr.DataArray, stretch: Stretch, colormap: str | None, title: str | None, *, simulated: bool
) -> Picture:
    natural, seen = "rgb" in picture.dims, picture.values[np.isfinite(picture.values)]
    if seen.size == 0:
        raise BadRequest(NOTHING_SEEN)
    colormap = None if natural else colormap
    return Picture(
        paint(picture.values, stretch, colormap),
        (float(seen.min()), float(seen.max())),
        picture.odc.geobox,
        stretch,
        colormap,
        title or _caption(picture),
        "" if natural else str(picture.attrs.get("units", "")),
        simulated,
    )


def _one_picture(layer: xr.DataArray | xr.Dataset, band: str | None) -> xr.DataArray:
    if isinstance(layer, xr.DataArray):
        return layer
    names = [str(name) for name in layer.data_vars]
    if band is None and set(_RGB) <= set(names):
        natural = layer[list(_RGB)].to_dataarray("rgb").rename("couleurs naturelles / natural colours")
        return natural.assign_attrs(grid_mapping="spatial_ref")
    chosen = band or (names[0] if len(names) == 1 else None)
    if chosen is None or chosen not in names:
        raise BadRequest(f"band: found {band!r}. {did_you_mean(band or '', names)}")
    return layer[chosen]


def _at_time(picture: xr.DataArray, time: int | str) -> xr.DataArray:
    if "time" not in picture.dims:
        return picture
    try:
        return picture.isel(time=time) if isinstance(time, int) else picture.sel(time=time, method="nearest")
    except (IndexError, KeyError, TypeError, ValueError) as exc:
        dates = [f"{t:%Y-%m-%d}" for t in picture.indexes["time"]]
        raise BadRequest(f"time: {time!r} is not a date of the layer. {did_you_mean(str(time), dates)}") from exc


def _at_screen_size(picture: xr.DataArray) -> xr.DataArray:
    geobox = picture.odc.geobox
    if not isinstance(geobox, GeoBox) or geobox.crs is None:
        raise BadRequest("show: the layer has no y, x and CRS. Show a cube, or what was computed from it.")
    extra = set(picture.dims) - {*picture.odc.spatial_dims, "rgb"}
    if extra:
        raise BadRequest(f"show: a map has no axis {', '.join(map(str, extra))}. Select or reduce it first.")
    step = max(1, max(geobox.shape) // (2 * MOST_PIXELS))
    y, x = picture.odc.spatial_dims
    thinned = picture.isel({y: slice(None, None, step), x: slice(None, None, step)}).astype("float32").compute()
    screen = thinned.odc.geobox.to_crs("EPSG:3857")
    if max(screen.shape) > MOST_PIXELS:
        screen = screen.zoom_to(MOST_PIXELS)
    drawn: xr.DataArray = xr_reproject(thinned, screen, resampling="nearest", dst_nodata=np.nan)
    return drawn.rename(picture.name).assign_attrs(picture.attrs)


def _caption(picture: xr.DataArray) -> str:
    name = str(picture.attrs.get("long_name") or picture.name or "")
    if "time" in picture.coords and picture.time.ndim == 0:
        return f"{name} – {np.datetime_as_string(picture.time.values, unit='D')}"
    return name


def _is_simulated(layer: xr.DataArray | xr.Dataset) -> bool:
    parts = [layer, *(layer.data_vars.values() if isinstance(layer, xr.Dataset) else ())]
    return any("SIMUL" in str(part.attrs.get("comment", "")) for part in parts)


_Bounds = tuple[tuple[float, float], tuple[float, float]]


def _lay(layer: Layer, drawn: Any, bounds: _Bounds, over: LabMap | None) -> LabMap:
    legend = WidgetControl(widget=_legend(layer), position="topright")
    if over is not None:
        over.add(drawn)
        over.add(legend)
        over.overlay(layer)
        return over
    (south, west), (north, east) = bounds
    base = LabMap(
        (layer,),
        center=((south + north) / 2, (west + east) / 2),
        zoom=_zoom(bounds),
        layers=[],
        # Whoever scrolls down a notebook must not be caught in its maps: the wheel is the map's after a click on it.
        scroll_wheel_zoom=False,
    )
    base.on_interaction(base.on_mouse)
    for each in (drawn, legend, ScaleControl(position="bottomleft", imperial=False)):
        base.add(each)
    base.add(LayersControl(position="bottomright"))
    base.add(FullScreenControl())
    base.layout.height = "480px"
    return base


def _vectors(shapes: Shapes) -> GeoJSON:
    features = json.loads(shapes.frame[["geometry"]].to_json())
    for feature, colour in zip(features["features"], shapes.colours, strict=True):
        feature["properties"]["style"] = {"color": colour, "fillColor": colour, "weight": 2, "fillOpacity": 0.6}
    return GeoJSON(
        data=features,
        name=shapes.caption,
        style={"opacity": 1},
        point_style={"radius": 5, "weight": 1, "fillOpacity": 0.9},
    )


def _outline(shapes: Shapes) -> _Bounds:
    west, south, east, north = map(float, shapes.frame.total_bounds)
    return ((south, west), (north, east))


def _legend(layer: Layer) -> HTML:
    parts = [f"<b>{html.escape(layer.caption)}</b>"]
    if layer.simulated:
        parts.append("<b style='color:#b00020'>SIMULÉ / SIMULATED</b>")
    if isinstance(layer, Shapes):
        parts += [
            f"<span style='color:{colour}'>■</span> {html.escape(name)}" for name, colour in layer.categories.items()
        ]
    if layer.colormap is not None and layer.stretch is not None:
        bar = render_png(paint(np.linspace(0, 1, 128, dtype="float32")[None, :], Stretch(0, 1), layer.colormap))
        unit = "" if layer.unit in {"", "1"} else f" {html.escape(layer.unit)}"
        low, high = f"{layer.stretch.low:.3g}", f"{layer.stretch.high:.3g}{unit}"
        parts.append(f"<img src='{bar}' alt='' style='width:180px;height:12px'>")
        parts.append(f"<span>{low}</span><span style='float:right'>{high}</span>")
    return HTML("<div style='padding:4px 8px;max-width:260px;line-height:1.4'>" + "<br>".join(parts) + "</div>")


def _zoom(bounds: _Bounds) -> int:
    """The closest zoom that shows the whole box: on Web Mercator the world is 256 · 2^zoom pixels wide and high."""
    (south, west), (north, east) = bounds
    low, high = (np.arcsinh(np.tan(np.radians(np.clip(side, -85, 85)))) / (2 * np.pi) for side in (south, north))
    share = max((east - west) / 360 / _SCREEN[0], float(high - low) / _SCREEN[1])
    return int(np.clip(np.log2(1 / (256 * max(share, 1e-12))), 1, _CLOSEST))
