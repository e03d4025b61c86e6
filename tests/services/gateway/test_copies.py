"""Copies of a template with the face of processes that asyncio starts."""

import os
import signal
import time
from pathlib import Path

import pytest

from earthlab.hub.accounts import Account
from earthlab.kernel.forks import NoFork
from earthlab.services.gateway.copies import fork_process
from earthlab.services.gateway.processes import Place, stop_process

pytestmark = pytest.mark.lab


@pytest.fixture
def place(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    me = Account("me", os.getuid(), os.getgid(), home)
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return Place(env, tmp_path, tmp_path / "x.log", me)


async def test_a_copy_runs_a_command_of_distributed_s_and_says_how_it_ended(template, place):
    copy = await fork_process(template, "scheduler", ["--version"], place)
    assert await copy.wait() == copy.returncode == 0
    assert "version" in place.log.read_text()
    place.log.unlink()
    copy = await fork_process(template, "worker", ["--nthreads", "many"], place)
    assert await copy.wait() == copy.returncode == 2
    assert "many" in place.log.read_text()


@pytest.mark.parametrize("patience", [0, 20])
async def test_a_copy_can_be_stopped_from_its_first_moment(template, place, patience):
    copy = await fork_process(template, "scheduler", ["--port", "0", "--host", "127.0.0.1"], place)
    assert copy.returncode is None
    began = time.monotonic()
    await stop_process(copy, patience=patience)
    assert time.monotonic() - began < 20
    assert copy.returncode is not None
    await stop_process(copy, patience=patience)


async def test_a_copy_that_is_killed_is_noticed(template, place):
    copy = await fork_process(template, "scheduler", ["--port", "0", "--host", "127.0.0.1"], place)
    os.kill(copy.pid, signal.SIGKILL)
    assert await copy.wait() == -signal.SIGKILL


async def test_an_existing_log_is_not_written_over(template, place):
    place.log.symlink_to(place.folder / "precious")
    with pytest.raises(FileExistsError):
        await fork_process(template, "scheduler", ["--version"], place)
    assert not (place.folder / "precious").exists()


async def test_where_no_template_answers_nothing_is_left_of_the_attempt(place):
    with pytest.raises(NoFork, match="no template answers"):
        await fork_process(Path("/nonexistent/socket"), "scheduler", ["--version"], place)
    assert not place.log.exists()
