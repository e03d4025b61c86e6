import platform
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from earthlab.compute.environment import _build, differences, here, is_fatal


def test_this_environment_names_python_and_all_that_travels():
    mine = here()
    assert mine["python"] == ".".join(platform.python_version_tuple()[:2])
    assert {"dask", "distributed", "numpy", "xarray", "rasterio", "earthlab"} <= mine.keys()


def test_an_environment_does_not_differ_from_itself():
    assert differences(here(), here()) == {}


def test_a_difference_names_both_sides():
    assert differences({"numpy": "2.1"}, {"numpy": "2.4"}) == {"numpy": "2.1 here, 2.4 on the workers"}


@pytest.fixture
def installed(monkeypatch):
    """Says what the list of installed files is, or that there is none at all."""

    def install(listed):
        def distribution(name):
            if listed is None:
                raise PackageNotFoundError(name)
            return SimpleNamespace(read_text={"RECORD": listed}.get)

        monkeypatch.setattr("earthlab.compute.environment.distribution", distribution)
        _build.cache_clear()

    yield install
    monkeypatch.undo()
    _build.cache_clear()


def test_two_builds_of_one_version_differ(installed):
    builds = []
    for digest in ("sha256=abc", "sha256=abd"):
        installed(f"earthlab/__init__.py,{digest},12\nother/a.py,,\n")
        builds.append(here())
    assert differences(*builds) == {
        "earthlab build": f"{builds[0]['earthlab build']} here, {builds[1]['earthlab build']} on the workers"
    }
    assert {len(each["earthlab build"]) for each in builds} == {12}


@pytest.mark.parametrize("listed", [None, "", "__editable__.earthlab.pth,sha256=abc,12\n"])
def test_what_no_wheel_has_installed_is_no_build(installed, listed):
    installed(listed)
    assert "earthlab build" not in here()


def test_a_package_that_is_missing_on_one_side_differs():
    assert differences({"rasterio": "1.4"}, {}) == {"rasterio": "1.4 here, none on the workers"}


@pytest.mark.parametrize(("name", "fatal"), [("python", True), ("distributed", True), ("xarray", False)])
def test_only_what_tasks_cannot_cross_is_fatal(name, fatal):
    assert is_fatal({name: "1 here, 2 on the workers"}) is fatal
