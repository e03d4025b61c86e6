"""Files that stay open: once a process, bounded, and opened anew when they changed."""

import os
import threading

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from earthlab.cube.plan import Source
from earthlab.cube.readers.opened import Lender, close_local_files
from earthlab.cube.readers.raster import read_raster
from earthlab.testing.rasters import LATTICE, RasterFile, write_raster

GRID = GeoBox((20, 20), LATTICE, "EPSG:32631")


class Things:
    def __init__(self):
        self.opened, self.closed = 0, []

    def open(self):
        self.opened += 1
        return self.opened


@pytest.fixture
def things():
    return Things()


def test_a_thing_is_opened_once_and_lent_again(things):
    lender = Lender(things.closed.append)
    for _ in range(3):
        with lender.borrow(("a",), things.open) as thing:
            assert thing == 1
    assert (things.opened, things.closed) == (1, [])


def test_two_borrowers_at_once_get_two_things(things):
    lender = Lender(things.closed.append)
    with lender.borrow(("a",), things.open) as one, lender.borrow(("a",), things.open) as other:
        assert one != other


def test_what_lies_idle_is_bounded_and_the_oldest_is_closed_first(things):
    lender = Lender(things.closed.append, most=2)
    for key in "abc":
        with lender.borrow((key,), things.open):
            pass
    assert things.closed == [1]
    lender.clear()
    assert sorted(things.closed) == [1, 2, 3]


def test_local_files_that_lie_idle_are_closed_and_remote_or_borrowed_ones_are_not(things):
    lender = Lender(things.closed.append)
    for key in ("/data/b04.tif", "https://example.org/b04.tif", "/vsicurl/https://example.org/b08.tif"):
        with lender.borrow((key,), things.open):
            pass
    with lender.borrow(("/data/b08.tif",), things.open):
        close_local_files()
    assert things.closed == [1]
    with lender.borrow(("/data/b08.tif",), things.open) as again:
        assert again == 4
    lender.clear()
    assert sorted(things.closed) == [1, 2, 3, 4]


def test_a_thing_that_failed_is_closed_and_not_lent_again(things):
    lender = Lender(things.closed.append)
    with pytest.raises(OSError, match="broken"), lender.borrow(("a",), things.open):
        raise OSError("broken")
    assert things.closed == [1]


def test_a_thing_past_its_time_is_opened_anew(things):
    lender = Lender(things.closed.append)
    with lender.borrow(("a",), things.open, good_for=-1.0):
        pass
    with lender.borrow(("a",), things.open) as thing:
        assert thing == 2
    assert things.closed == [1]


def test_a_forked_process_does_not_use_what_its_parent_opened(things):
    lender = Lender(things.closed.append)
    with lender.borrow(("a",), things.open):
        pass
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        with lender.borrow(("a",), things.open) as thing:
            os.write(ends[1], str(thing).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(ends[0], 8) == b"2"


def read(path):
    (window,) = read_raster([Source(str(path))], GRID, resampling="nearest", anchor=GRID.transform * (0, 0))
    return window.values


def test_a_file_that_changed_is_read_anew(tmp_path):
    path = write_raster(tmp_path / "a.tif", RasterFile(np.full((20, 20), 1, "uint8")))
    assert (read(path) == 1).all()
    write_raster(tmp_path / "b.tif", RasterFile(np.full((20, 20), 2, "uint8"))).replace(path)
    assert (read(path) == 2).all()


def test_many_threads_read_one_file(tmp_path):
    values = np.arange(400, dtype="uint16").reshape(20, 20)
    path = write_raster(tmp_path / "a.tif", RasterFile(values))
    right = []
    threads = [threading.Thread(target=lambda: right.append((read(path) == values).all())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 8
