"""A map as one picture with degrees on its sides, for where no widget can be shown."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from earthlab.view.colours import PNG
from earthlab.view.layers import Layer, Picture, Shapes

_SIZE = (7.2, 5.0)
_DPI = 110
_RADIUS = 6378137.0
"""Of the sphere of the web's Mercator projection, in metres."""


_Scale = Callable[[float], float]


def render_map(layers: Sequence[Layer]) -> bytes:
    """The layers over each other as a PNG, each with its name, colours and unit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # drawn without pyplot, which keeps every figure
    from matplotlib.figure import Figure

    canvas = Figure(figsize=_SIZE, layout="constrained")
    axes = canvas.subplots()
    for layer in layers:
        _draw_picture(axes, layer) if isinstance(layer, Picture) else _draw_shapes(axes, layer)
        if layer.colormap is not None and layer.stretch is not None:
            scale = mpl.cm.ScalarMappable(Normalize(layer.stretch.low, layer.stretch.high), layer.colormap)
            canvas.colorbar(scale, ax=axes, label=_words(layer, alone=len(layers) == 1), shrink=0.8)
    axes.set(title="\n".join(_title(layer) for layer in layers), xlabel="longitude (°)", ylabel="latitude (°)")
    axes.set_aspect("equal")
    axes.set_xticks(*_ticks(axes.get_xlim(), _longitude, lambda degrees: np.radians(degrees) * _RADIUS))
    axes.set_yticks(
        *_ticks(axes.get_ylim(), _latitude, lambda degrees: np.arcsinh(np.tan(np.radians(degrees))) * _RADIUS)
    )
    if any(isinstance(layer, Shapes) and layer.categories for layer in layers):
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    FigureCanvasAgg(canvas).print_figure(buffer, format="png", dpi=_DPI, pil_kwargs=PNG)
    return buffer.getvalue()


def _draw_picture(axes: Any, layer: Picture) -> None:
    box = layer.geobox.boundingbox
    extent = (box.left, box.right, box.bottom, box.top)
    axes.imshow(layer.colours, extent=extent, interpolation="nearest" if layer.colormap else None)


def _draw_shapes(axes: Any, layer: Shapes) -> None:
    flat = layer.frame.to_crs("EPSG:3857")
    flat.plot(ax=axes, color=list(layer.colours), markersize=18, linewidth=1.2, alpha=0.8, aspect=None)
    for name, colour in layer.categories.items():
        axes.plot([], [], "s", color=colour, label=name)


def _title(layer: Layer) -> str:
    return f"{layer.caption} – SIMULÉ / SIMULATED" if layer.simulated else layer.caption


def _words(layer: Layer, *, alone: bool) -> str:
    unit = "" if layer.unit in {"", "1"} else layer.unit
    if alone:  # the title has the name
        return unit
    return f"{layer.caption} ({unit})" if unit else layer.caption


def _ticks(ends: tuple[float, float], to_degrees: _Scale, to_metres: _Scale) -> tuple[list[float], list[str]]:
    low, high = map(to_degrees, ends)
    degrees = [each for each in MaxNLocator(5).tick_values(low, high) if low <= each <= high]
    return [float(to_metres(each)) for each in degrees], [f"{each:.8g}" for each in degrees]


def _longitude(metres: float) -> float:
    return float(np.degrees(metres / _RADIUS))


def _latitude(metres: float) -> float:
    return float(np.degrees(2 * np.arctan(np.exp(metres / _RADIUS)) - np.pi / 2))
