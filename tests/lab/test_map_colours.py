"""The colours of the map's legend are those that its tiles are drawn in."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

SOURCE = Path(__file__).parents[2] / "lab_extension" / "src" / "core" / "colormaps.ts"


def test_each_colour_map_of_the_page_is_matplotlibs_in_nine_steps():
    listed = re.findall(r"^  (\w+): \[(.+)\]", SOURCE.read_text(), re.MULTILINE)
    assert len(listed) > 10
    for name, colours in listed:
        expected = [to_hex(mpl.colormaps[name](share)) for share in np.linspace(0, 1, 9)]
        assert re.findall("#[0-9a-f]{6}", colours) == expected, name
