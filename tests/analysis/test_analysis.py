"""The index of the analyses."""

import re
from pathlib import Path

import earthlab.analysis

# What analyses ask of their inputs, and how they are laid out over blocks: not for users.
_FOUNDATIONS = {"columns", "frames", "grids", "periods", "reductions", "reflectance", "series", "tables", "units"}


def test_the_index_names_every_theme_and_nothing_else():
    named = set(re.findall(r"``([a-z_0-9]+)``", earthlab.analysis.__doc__.split("====", 1)[1]))
    there = {path.stem for path in Path(earthlab.analysis.__file__).parent.glob("*.py")} - {"__init__"}
    assert named == there - _FOUNDATIONS
