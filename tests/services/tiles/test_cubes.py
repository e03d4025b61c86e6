"""Only finished cubes of the lab's own store are shown, and nothing that somebody planted there leads out of it."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earthlab as el
from earthlab.cube.plan import Encoding
from earthlab.cube.shared import share_cube
from earthlab.cube.shared.layout import Marker
from earthlab.cube.shared.lease import Head
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.errors import AskLess, BadRequest, NothingFound, ReadFault
from earthlab.services.tiles.cubes import Cubes, name_classes
from earthlab.services.tiles.pictures import draw, plan_picture, tell_series
from earthlab.services.tiles.shards import KeptChunks
from earthlab.services.tiles.shelf import BucketShelf, FolderShelf, read_whole
from earthlab.testing.buckets import serve_bucket
from earthlab.testing.rasters import scene_items
from earthlab.view.tiles import Tile

from .conftest import draw_scene, is_root, read_png

DAY = "2018-07-02T10:00:00"


def cubes_of(store, *classes):
    now = [0.0]
    return Cubes(FolderShelf(Path(store)), name_classes(classes), clock=lambda: now[0]), now


def head_of(store, token, access="open"):
    return Path(store) / access / token / "head.json"


def plant(store, marker, access="open", **changes):
    """A cube of somebody's own making: what its marker says of itself is consistent."""
    plan = replace(marker.plan, **changes)
    fake = replace(marker, plan_json=plan.to_json(), token=plan.token, access=access)
    folder = Path(store) / access / plan.token
    (folder / fake.generation).mkdir(parents=True)
    (folder / "head.json").write_bytes(Head(current=fake.generation).render())
    (folder / fake.generation / "cube.json").write_bytes(fake.render())
    return fake


def far_away(cube, band):
    """A picture of the smallest overview."""
    return plan_picture(cube, [band], DAY, {"low": "0", "high": "1"}, (9, *place_of(cube, 9)))


def test_a_cube_is_found_by_its_token_in_whichever_class(built):
    cubes, _ = cubes_of(built.store, "test")
    assert cubes.find(built.cube.token).access == "open"
    assert cubes.find(built.licensed.token).access == "test"
    without, _ = cubes_of(built.store)
    with pytest.raises(NothingFound, match=built.licensed.token):
        without.find(built.licensed.token)


@pytest.mark.parametrize("token", ["", "..", "x" * 20, "../../../../etc/passw", "A" * 20, "0" * 40])
def test_only_a_token_is_looked_for(built, token):
    with pytest.raises(BadRequest, match="20 hexadecimal digits"):
        cubes_of(built.store)[0].find(token)


def test_classes_of_several_rules_are_looked_into_too():
    assert name_classes(["b", "a"]) == ("open", "a", "b", "a--b")
    assert name_classes([]) == ("open",)


def test_what_is_sliced_of_a_band_is_what_the_library_reads(built):
    cubes, _ = cubes_of(built.store)
    found, own = cubes.find(built.cube.token), built.cube
    for factor, place in zip(found.factors, range(3), strict=True):
        array = found.parts[0].levels[place].source
        values = own.open(factor).red.values
        for key in np.s_[:, :, :], np.s_[1, 5:300:7, 130:131], np.s_[0:2, 0:0, :], np.s_[2, 90:, 250:260]:
            np.testing.assert_array_equal(array[key], values[key])


def test_chunks_that_are_kept_are_bounded_and_the_last_ones(built):
    kept = KeptChunks(most=3_000_000)
    cubes, _ = cubes_of(built.store)
    cubes.kept = kept
    array = cubes.find(built.cube.token).parts[0].levels[0].source
    first = array[:, :512, :512]
    assert 0 < kept.nbytes <= kept.most
    np.testing.assert_array_equal(array[:, :512, :512], first)
    assert kept.nbytes == sum(values.nbytes for values in kept._kept.values())


def test_an_evicted_cube_is_not_shown_any_more_and_one_that_was_built_anew_is(own_store):
    cubes, now = cubes_of(own_store.store)
    token = own_store.cube.token
    before = cubes.find(token)
    head = head_of(own_store.store, token)
    generation = head.parent / before.generation
    other = "g-0123456789abcdef"
    shutil.copytree(generation, head.parent / other)
    marker = Marker.parse((generation / "cube.json").read_bytes())
    (head.parent / other / "cube.json").write_bytes(replace(marker, generation=other).render())
    head.write_bytes(Head(current=other).render())
    shutil.rmtree(generation)
    picture = plan_picture(before, ["red"], DAY, {}, (0, 0, 0))
    assert draw(cubes, picture)
    assert cubes.find(token).generation == other
    head.write_bytes(Head().render())
    now[0] += 6
    with pytest.raises(NothingFound):
        cubes.find(token)


def test_a_shard_that_was_lost_is_refused_and_never_shown_as_nodata(own_store):
    cubes, _ = cubes_of(own_store.store)
    cube = cubes.find(own_store.cube.token)
    shard = Path(own_store.store, "open", cube.token, cube.generation, "overviews/4/red/c/0/0/0")
    shard.unlink()
    with pytest.raises(ReadFault, match=r"Shard \(0, 0, 0\) of band 'red' .* is missing"):
        draw(cubes, far_away(cube, "red"))
    assert draw(cubes, far_away(cube, "green"))


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "foreign", "bomb"])
def test_a_damaged_shard_is_refused(own_store, damage):
    cubes, _ = cubes_of(own_store.store)
    cube = cubes.find(own_store.cube.token)
    shard = Path(own_store.store, "open", cube.token, cube.generation, "overviews/4/red/c/0/0/0")
    content = bytearray(shard.read_bytes())
    match damage:
        case "truncated":
            content = content[: len(content) // 2]
        case "emptied":
            content = bytearray()
        case "flipped":
            for at in range(0, len(content) - 200, 97):
                content[at] ^= 0xFF
        case "foreign":
            content = bytearray(b"x" * 5000)
        case "bomb":
            content = bomb(content, cube.parts[0].levels[2].source)
    shard.write_bytes(content)
    with pytest.raises(ReadFault, match="is damaged"):
        draw(cubes, far_away(cube, "red"))


def bomb(content, array):
    """Every chunk of the shard is one that becomes a gigabyte; all checksums are right."""
    import google_crc32c
    from numcodecs import blosc

    from earthlab.services.tiles.shards import chunks_a_shard

    chunk = bytearray(blosc.compress(b"\0" * 100_000, b"zstd", 3, 1))
    chunk[4:8] = (2**30).to_bytes(4, "little")
    whole = bytes(chunk) + google_crc32c.value(bytes(chunk)).to_bytes(4, "little")
    count = int(np.prod(chunks_a_shard(array.level)))
    index = np.tile(np.array([0, len(whole)], "<u8"), count).tobytes()
    return whole + index + google_crc32c.value(index).to_bytes(4, "little")


@pytest.mark.parametrize("hostile", ["token", "generation", "marker", "array", "shard", "pipe", "root of class"])
def test_no_link_leads_out_of_the_store_and_no_pipe_holds_it(own_store, tmp_path, hostile):
    cubes, _ = cubes_of(own_store.store)
    token = own_store.cube.token
    folder = head_of(own_store.store, token).parent
    generation = next(folder.glob("g-*"))
    away = tmp_path / "away"
    victim = {
        "token": folder,
        "generation": generation,
        "marker": generation / "cube.json",
        "array": generation / "overviews/4/red",
        "shard": generation / "overviews/4/red/c/0/0/0",
        "pipe": generation / "overviews/4/red/c/0/0/0",
        "root of class": folder.parent,
    }[hostile]
    victim.rename(away)
    if hostile == "pipe":
        os.mkfifo(victim)
    else:
        victim.symlink_to(away)
    with pytest.raises((NothingFound, ReadFault)):
        draw(cubes, far_away(cubes.find(token), "red"))


@pytest.mark.parametrize(
    "changes",
    [
        {"bands": ("../../../test/other/red", "green", "blue")},
        {"bands": ("..", "green", "blue")},
        {"bands": ("red", "red", "blue")},
        {"bands": (7, "green", "blue")},
        {"bands": ("re\0d", "green", "blue")},
        {"units": ("1", "1")},
        {"units": (["1"], "1", "1")},
        {"shape": (10**9, 10**9)},
        {"shape": (0, 5)},
        {"shape": (1100.5, 1301)},
        {"shape": (True, 1301)},
        {"steps": ()},
        {"crs": "+proj=longlat +nadgrids=/etc/shadow"},
        {"crs": "file:///etc/passwd"},
        {"crs": 'PROJCS["x",PARAMETERFILE["y","/etc/shadow"]]'},
        {"crs": "EPSG:999999"},
        {"transform": (0.0,) * 9},
        {"encodings": (Encoding("float64", 1.0, 0.0, 0),) * 3},
        {"encodings": (Encoding("uint16", 0.0, 0.0, 0),) * 3},
        {"encodings": (Encoding("uint8", 1.0, 0.0, 300),) * 3},
        {"citation": ["x"]},
        {"simulated": "no"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_marker_that_says_what_cannot_be_is_refused(own_store, changes):
    fake = plant(own_store.store, own_store.cube.marker, **changes)
    with pytest.raises(ReadFault, match="cannot be shown"):
        cubes_of(own_store.store)[0].find(fake.token)


@pytest.mark.parametrize(
    "changes",
    [
        {"shards": [1, 1, 1]},
        {"shards": [10**6, 10**6, 10**6]},
        {"shards": [0, 5, 5]},
        {"shards": "abc"},
        {"levels": [3]},
        {"levels": [4, 2]},
        {"levels": [8]},
        {"encoded": [True]},
        {"empty": [["red", [99, 99, 99]]]},
        {"token": "0123456789abcdef0123"},
        {"generation": "g-0000000000000000"},
        {"version": 2},
        {"access": "test"},
        {"plan": {}},
        {"plan": []},
    ],
    ids=lambda changes: f"{changes}",
)
def test_a_marker_of_another_form_is_refused(own_store, changes):
    token = own_store.cube.token
    path = next(head_of(own_store.store, token).parent.glob("g-*")) / "cube.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ReadFault, match="cannot be shown"):
        cubes_of(own_store.store)[0].find(token)


@pytest.mark.parametrize("content", [b"", b"[" * 200_000, b"{", b'{"current": 7}', b'{"current": "../../x"}', b"[]"])
def test_a_head_that_names_no_generation_names_no_cube(own_store, content):
    head_of(own_store.store, own_store.cube.token).write_bytes(content)
    with pytest.raises(NothingFound):
        cubes_of(own_store.store)[0].find(own_store.cube.token)


def test_a_huge_head_or_marker_is_not_read(own_store):
    head = head_of(own_store.store, own_store.cube.token)
    marker = next(head.parent.glob("g-*")) / "cube.json"
    kept = marker.read_bytes()
    marker.write_bytes(kept + b" " * 9_000_000)
    with pytest.raises(ReadFault):
        cubes_of(own_store.store)[0].find(own_store.cube.token)
    marker.write_bytes(kept)
    head.write_bytes(head.read_bytes() + b" " * 70_000)
    with pytest.raises(NothingFound):
        cubes_of(own_store.store)[0].find(own_store.cube.token)


def test_a_cube_of_before_there_were_overviews_is_shown_near_its_own_resolution(own_store):
    path = next(head_of(own_store.store, own_store.cube.token).parent.glob("g-*")) / "cube.json"
    told = json.loads(path.read_text())
    del told["levels"], told["level_empty"]
    path.write_text(json.dumps(told))
    cubes, _ = cubes_of(own_store.store)
    cube = cubes.find(own_store.cube.token)
    assert cube.factors == (1,)
    assert cube.style(["red"]).low < cube.style(["red"]).high
    far = draw(cubes, plan_picture(cube, ["red"], DAY, {}, (8, *place_of(cube, 8))))
    assert (read_png(far)[..., 3] > 0).any()


def place_of(cube, zoom):
    west, south, east, north = cube.bounds
    at = Tile(zoom, int(((west + east) / 2 + 180) / 360 * 2**zoom), 0)
    down = (1 - np.arcsinh(np.tan(np.radians((south + north) / 2))) / np.pi) / 2
    return at.x, int(down * 2**zoom)


def test_a_large_one_is_refused_from_afar_with_a_remedy(own_store, monkeypatch):
    from earthlab.services.tiles import cubes as room

    monkeypatch.setattr(room, "_MOST_STORED", 10_000)
    path = next(head_of(own_store.store, own_store.cube.token).parent.glob("g-*")) / "cube.json"
    told = json.loads(path.read_text())
    del told["levels"], told["level_empty"]
    path.write_text(json.dumps(told))
    cubes, _ = cubes_of(own_store.store)
    cube = cubes.find(own_store.cube.token)
    assert cube.style(["red"]).low < cube.style(["red"]).high
    with pytest.raises(AskLess, match="Zoom in"):
        draw(cubes, plan_picture(cube, ["red"], DAY, {}, (8, *place_of(cube, 8))))


def test_that_a_cube_is_shown_counts_as_its_use(own_store):
    cubes, now = cubes_of(own_store.store)
    cube = cubes.find(own_store.cube.token)
    used = head_of(own_store.store, cube.token).parent / "used"
    used.unlink(missing_ok=True)
    tell_series(cubes, cube, "red", *middle_of(cube))
    assert used.stat().st_size == 0
    os.utime(used, (0, 0))
    cubes.note_use(cube)
    assert used.stat().st_mtime == 0
    now[0] += 61
    cubes.note_use(cube)
    assert used.stat().st_mtime > 0


def middle_of(cube):
    west, south, east, north = cube.bounds
    return (west + east) / 2, (south + north) / 2


def test_a_note_of_use_follows_no_link(own_store, tmp_path):
    cubes, now = cubes_of(own_store.store)
    cube = cubes.find(own_store.cube.token)
    folder = head_of(own_store.store, cube.token).parent
    (folder / "used").unlink(missing_ok=True)
    victim = tmp_path / "victim"
    victim.write_text("kept")
    os.utime(victim, (0, 0))
    (folder / "used").symlink_to(victim)
    cubes.note_use(cube)
    folder.rename(tmp_path / "away")
    folder.symlink_to(tmp_path)
    now[0] += 61
    cubes.note_use(cube)
    assert victim.stat().st_mtime == 0
    assert not (tmp_path / "used").exists()


@pytest.mark.skipif(not is_root(), reason="only root can become another account")
def test_of_a_store_that_may_not_be_written_nothing_is_noted(own_store, monkeypatch):
    folder = head_of(own_store.store, own_store.cube.token).parent
    (folder / "used").unlink(missing_ok=True)
    monkeypatch.setattr(os, "open", refuse_to_make(os.open))
    FolderShelf(own_store.store).note_use(f"open/{own_store.cube.token}/used")
    assert not (folder / "used").exists()


def refuse_to_make(real):
    def opened(path, flags, *words, **more):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *words, **more)

    return opened


@pytest.mark.parametrize("key", ["", "/etc/passwd", "open/../../x", "open/./x", "open//x", "a\0b"])
def test_a_key_that_leads_elsewhere_is_refused(built, key):
    with pytest.raises(ReadFault, match="cannot be a part of a store"):
        read_whole(FolderShelf(built.store), key, 100)


def test_a_store_that_is_not_there_has_no_cubes(tmp_path):
    with pytest.raises(NothingFound):
        cubes_of(tmp_path / "nothing")[0].find("0123456789abcdef0123")


def test_cubes_of_a_bucket_are_shown_as_well(built, tmp_path, monkeypatch):
    plan = el.plan(scene_items([draw_scene(tmp_path, at) for at in range(2)]), ["red"])
    (tmp_path / "server").mkdir()
    with serve_bucket(tmp_path / "server") as bucket:
        for name, value in bucket.keys.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("EARTHLAB__CUBES__ENDPOINT", bucket.endpoint)
        address = StoreAddress(bucket.url, bucket.endpoint)
        own = share_cube(plan, store=bucket.url)
        cubes = Cubes(BucketShelf(open_store(address)))
        cube = cubes.find(plan.token)
        assert cube.factors == (1, 2, 4)
        np.testing.assert_array_equal(cube.parts[0].levels[1].source[0, :, :], own.open(2).red.values[0])
        cubes.note_use(cube)
        assert read_whole(BucketShelf(open_store(address)), f"open/{plan.token}/used", 10) == b"{}"
        with pytest.raises(NothingFound):
            cubes.find("0123456789abcdef0123")
