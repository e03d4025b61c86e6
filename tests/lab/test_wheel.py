"""The wheel brings the panels built: who installs it needs no Node."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import earthlab

pytestmark = pytest.mark.lab

CHECKOUT = Path(earthlab.__file__).parents[1]
MANIFEST = Path("share/jupyter/labextensions/@earthlab/lab/package.json")


def run(*command, **environment):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Where the wheel of this checkout was installed, with no program on the path."""
    folder = tmp_path_factory.mktemp("wheel")
    run("pip", "wheel", CHECKOUT, "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", folder)
    (wheel,) = folder.glob("*.whl")
    placed = ["--no-deps", "--no-index", "--ignore-installed", "--no-warn-script-location", "--prefix", folder / "here"]
    run("pip", "install", *placed, wheel, PATH="/nonexistent")
    return folder / "here"


def test_the_panels_come_built_and_whole(prefix):
    described = json.loads((prefix / MANIFEST).read_text())
    entry = prefix / MANIFEST.parent / described["jupyterlab"]["_build"]["load"]
    assert entry.is_file()
    assert (prefix / MANIFEST.parent / "static" / "style.js").is_file()


def test_jupyterlab_finds_and_enables_them(prefix, tmp_path):
    places = {"PATH": "/nonexistent", "JUPYTER_PATH": str(prefix / "share/jupyter"), "HOME": str(tmp_path)}
    listed = run("jupyterlab.labextensions", "list", "--verbose", JUPYTER_PREFER_ENV_PATH="0", **places)
    assert f"{prefix}/share/jupyter/labextensions" in listed
    (line,) = (line for line in listed.splitlines() if "@earthlab/lab" in line)
    assert "enabled" in line
    assert "OK" in line


def test_the_servers_half_comes_with_them_and_is_enabled(prefix):
    told = json.loads((prefix / "etc/jupyter/jupyter_server_config.d/earthlab_lab.json").read_text())
    assert told == {"ServerApp": {"jpserver_extensions": {"earthlab_lab": True}}}
    (packages,) = prefix.glob("lib*/python*/site-packages")
    where = run("inspect", "--details", "earthlab_lab", PATH="/nonexistent", PYTHONPATH=str(packages))
    assert f"Origin: {packages / 'earthlab_lab' / '__init__.py'}" in where
