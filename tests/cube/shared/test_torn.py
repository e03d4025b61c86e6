"""A cube that is not whole is refused, and never read as nodata."""

import numpy as np
import pytest

from earthlab.cube.shared import find_shared, open_shared, share_cube
from earthlab.errors import ReadFault


@pytest.fixture
def cube(plan, folder):
    return share_cube(plan, store=folder)


def path_of(cube, *parts):
    from pathlib import Path

    return Path(cube.href, *parts)


def test_a_block_without_any_observation_is_known_and_is_not_missing(cube, plan, folder):
    assert cube.marker.empty == (("nir", (0, 0, 0)), ("red", (0, 0, 0)))
    assert not path_of(cube, "red", "c", "0", "0", "0").exists()
    found = open_shared(plan.token, store=folder)
    assert np.isnan(found.red.isel(y=slice(0, 128), x=slice(0, 128)).values).all()


@pytest.mark.parametrize("block", [(0, 0, 1), (0, 1, 1)])
def test_a_missing_shard_is_refused_by_name(cube, plan, folder, block):
    path_of(cube, "red", "c", *map(str, block)).unlink()
    found = open_shared(plan.token, store=folder)
    with pytest.raises(ReadFault, match=rf"shard \({block[0]}, {block[1]}, {block[2]}\) of band 'red' is missing"):
        found.red.compute()
    found.nir.compute()


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "foreign"])
def test_a_damaged_shard_is_refused(cube, plan, folder, damage):
    path = path_of(cube, "red", "c", "0", "2", "2")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    path.write_bytes(
        {"truncated": content[: len(content) // 2], "emptied": b"", "flipped": content, "foreign": b"x" * 5000}[damage]
    )
    with pytest.raises(ReadFault, match=r"a shard of band 'red' is damaged"):
        open_shared(plan.token, store=folder).red.compute()


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"version": 9}', b'{"version": 1}', b"\xff\xfe"])
def test_without_its_marker_a_cube_does_not_open_and_is_built_again(cube, plan, folder, content):
    marker = path_of(cube, "cube.json")
    marker.unlink()
    if content is not None:
        marker.write_bytes(content)
    with pytest.raises(ReadFault, match=r"its marker cube.json is (missing|damaged)"):
        open_shared(plan.token, store=folder)
    assert find_shared(plan, store=folder) is None
    assert share_cube(plan, store=folder).built
    assert open_shared(plan.token, store=folder).red.notnull().any()


def test_the_marker_of_another_cube_is_refused(cube, plan, folder):
    marker = path_of(cube, "cube.json")
    marker.write_text(marker.read_text().replace(cube.marker.generation, "g-0000000000000000"))
    with pytest.raises(ReadFault, match="another cube's"):
        open_shared(plan.token, store=folder)


def test_a_damaged_head_is_refused_and_built_anew(cube, plan, folder):
    (path_of(cube).parent / "head.json").write_text("{}")
    with pytest.raises(ReadFault, match="head of a shared cube is damaged"):
        open_shared(plan.token, store=folder)
    assert share_cube(plan, store=folder).built
