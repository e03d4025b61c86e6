"""What `.ci/setup` says where it cannot do its work; that it does it, everything else here shows."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hub.conftest import root_only


@pytest.fixture
def copy(open_folder):
    """Of a checkout what the script reads."""
    source = Path(__file__).resolve().parents[2]
    for name in (
        ".ci/setup",
        ".ci/extension",
        "pyproject.toml",
        "images/requirements.lock",
        "images/hub",
        "earthlab/kernel/share",
        "lab_extension/package.json",
        "lab_extension/yarn.lock",
        "lab_extension/.yarnrc.yml",
        "lab_extension/src",
    ):
        target = open_folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source / name, target) if (source / name).is_dir() else shutil.copy(source / name, target)
    (open_folder / "notebooks").mkdir()
    return open_folder


def refusal(copy, environment, **options):
    done = subprocess.run(
        ["sh", ".ci/setup"],
        cwd=copy,
        env={"PATH": os.environ["PATH"], "HOME": str(copy)} | environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_a_python_that_is_too_old_or_too_new_is_refused(copy, version):
    python = copy / "python"
    python.write_text("#!/bin/sh\nexit 10\n")
    python.chmod(0o755)
    assert "3.11, 3.12 or 3.13 is needed" in refusal(copy, {"EARTHLAB_PYTHON": str(python)})
    assert not (copy / ".venv").exists()


def test_a_python_without_venv_is_refused_with_the_package_to_install(copy):
    python = copy / "python"
    python.write_text("#!/bin/sh\nexit 11\n")
    python.chmod(0o755)
    assert "python3-venv" in refusal(copy, {"EARTHLAB_PYTHON": str(python)})


def test_a_missing_tool_is_named(copy):
    tools = copy / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "cut", "find", "grep", "id", "ls", "mkdir", "mv", "rm", "sed", "sleep"):
        (tools / name).symlink_to(shutil.which(name))
    assert "sha256sum is missing" in refusal(copy, {"PATH": str(tools)})


@root_only
def test_a_folder_that_cannot_be_written_is_named(copy):
    said = refusal(copy, {}, user=65534, group=65534, extra_groups=[])
    assert str(copy) in said
    assert "cannot be written" in said


@pytest.mark.lab
def test_a_registry_that_does_not_answer_is_one_line_and_the_next_run_begins_again(copy):
    away = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    assert "registry cannot be reached" in refusal(copy, away | {"PIP_NO_CACHE_DIR": "1"})
    assert (copy / ".venv" / "setup.unfinished").exists()


@pytest.mark.lab
def test_a_package_whose_name_sounds_like_the_network_is_not_taken_for_its_failure(copy):
    wheel = copy / "wheels" / "server_proxy-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"half a wheel")
    lock = f"server-proxy==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    (copy / "images" / "requirements.lock").write_text(lock)
    said = refusal(copy, {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)})
    assert "registry cannot be reached" not in said
    assert wheel.name in said
