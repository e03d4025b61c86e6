"""A cube on a map, in the notebook: the picture travels inside the notebook, so the hub needs no further route."""

import html

import numpy as np
import xarray as xr
from ipyleaflet import FullScreenControl, ImageOverlay, LayersControl, Map, ScaleControl, WidgetControl
from ipywidgets import HTML
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject

from earthlab.errors import BadRequest, did_you_mean
from earthlab.view.colours import Stretch, render_png, render_rgb_png, resolve_stretch

MOST_PIXELS = 1024
"""Longest side of the picture that is sent to the browser."""

_RGB = ("red", "green", "blue")


def show(
    layer: xr.DataArray | xr.Dataset,
    *,
    band: str | None = None,
    time: int | str = -1,
    vmin: float | None = None,
    vmax: float | None = None,
    colormap: str = "viridis",
    title: str | None = None,
) -> Map:
    """A map of one layer: computes it, at the resolution of the screen, and draws it where it lies.

    Parameters
    ----------
    layer : DataArray or Dataset
        A layer with ``y``, ``x`` and a CRS. Of a dataset with red, green and blue and no ``band`` given, the natural
        colours are shown.
    band : str, optional
        Which variable of a dataset.
    time : int or str
        Which date, by its place or by its text (``"2018-07"``: the nearest); only where there is an axis ``time``.
    vmin, vmax : float, optional
        Values at the ends of the colours; by default the 2nd and 98th percentile.
    colormap : str
        Of matplotlib.
    title : str, optional
        By default the layer's name and date.

    Returns
    -------
    ipyleaflet.Map
        With the layer, its legend with units, a scale and full screen. No outside base map is loaded.

    Raises
    ------
    BadRequest
        For a band, date or colour map that does not exist, or a layer that has no place on the Earth.
    """
    picture = _at_screen_size(_at_time(_one_picture(layer, band), time))
    stretch = resolve_stretch(picture.values, vmin, vmax)
    caption = title or _caption(picture)
    if "rgb" in picture.dims:
        image, legend = render_rgb_png(picture.values, stretch), _legend(caption, _is_simulated(layer))
    else:
        image = render_png(picture.values, stretch, colormap)
        legend = _legend(caption, _is_simulated(layer), stretch, colormap, str(picture.attrs.get("units", "")))
    return _map(image, picture.odc.geobox, caption, legend)


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


def _legend(
    caption: str,
    simulated: bool,  # noqa: FBT001 - a fact, passed on
    stretch: Stretch | None = None,
    colormap: str = "",
    unit: str = "",
) -> HTML:
    parts = [f"<b>{html.escape(caption)}</b>"]
    if simulated:
        parts.append("<b style='color:#b00020'>SIMULÉ / SIMULATED</b>")
    if stretch is not None:
        bar = render_png(np.linspace(0, 1, 128, dtype="float32")[None, :], Stretch(0, 1), colormap)
        words = "" if unit in {"", "1"} else f" {html.escape(unit)}"
        parts.append(f"<img src='{bar}' alt='' style='width:180px;height:12px'>")
        parts.append(f"<span>{stretch.low:.3g}{words}</span><span style='float:right'>{stretch.high:.3g}{words}</span>")
    return HTML("<div style='padding:4px 8px;max-width:260px;line-height:1.4'>" + "<br>".join(parts) + "</div>")


def _map(image: str, geobox: GeoBox, caption: str, legend: HTML) -> Map:
    box = geobox.geographic_extent.boundingbox
    bounds = ((box.bottom, box.left), (box.top, box.right))
    middle = ((box.bottom + box.top) / 2, (box.left + box.right) / 2)
    drawn = Map(center=middle, zoom=_zoom(box.right - box.left), layers=[], scroll_wheel_zoom=True)
    drawn.add(ImageOverlay(url=image, bounds=bounds, name=caption))
    drawn.add(WidgetControl(widget=legend, position="topright"))
    drawn.add(ScaleControl(position="bottomleft", imperial=False))
    drawn.add(LayersControl(position="bottomright"))
    drawn.add(FullScreenControl())
    drawn.layout.height = "480px"
    return drawn


def _zoom(degrees: float) -> int:
    return int(np.clip(np.log2(360 * 2.2 / max(degrees, 1e-6)), 2, 17))
