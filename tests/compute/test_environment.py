import platform

import pytest

from earthlab.compute.environment import differences, here, is_fatal


def test_this_environment_names_python_and_all_that_travels():
    mine = here()
    assert mine["python"] == ".".join(platform.python_version_tuple()[:2])
    assert {"dask", "distributed", "numpy", "xarray", "rasterio", "earthlab"} <= mine.keys()


def test_an_environment_does_not_differ_from_itself():
    assert differences(here(), here()) == {}


def test_a_difference_names_both_sides():
    assert differences({"numpy": "2.1"}, {"numpy": "2.4"}) == {"numpy": "2.1 here, 2.4 on the workers"}


def test_two_builds_of_one_version_differ():
    mine = here()
    other = mine | {"earthlab build": "0" * 12}
    assert differences(mine, other) == {"earthlab build": f"{mine['earthlab build']} here, 000000000000 on the workers"}
    assert len(mine["earthlab build"]) == 12


def test_a_package_that_is_missing_on_one_side_differs():
    assert differences({"rasterio": "1.4"}, {}) == {"rasterio": "1.4 here, none on the workers"}


@pytest.mark.parametrize(("name", "fatal"), [("python", True), ("distributed", True), ("xarray", False)])
def test_only_what_tasks_cannot_cross_is_fatal(name, fatal):
    assert is_fatal({name: "1 here, 2 on the workers"}) is fatal
