"""Kernels on a full machine compute a few at a time."""

import fcntl
import subprocess
import sys
import time

import pytest

from earthlab.compute.turns import take_turn
from earthlab.notice import Notice
from tests.patience import PATIENCE


class Heard(Notice):
    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def turns(tmp_path):
    folder = tmp_path / "turns"
    folder.mkdir()
    for name in ("0", "1"):
        (folder / name).touch(mode=0o444)
    return folder


def is_free(place):
    with place.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_as_many_as_there_are_files_have_their_turn_and_the_next_one_waits_for_the_first_to_end(turns):
    heard = Heard()
    first, second = take_turn(str(turns), heard), take_turn(str(turns), heard)
    assert heard.lines == []
    assert not any(map(is_free, turns.iterdir()))
    began = time.monotonic()
    without = take_turn(str(turns), heard, patience=0.5)
    assert time.monotonic() - began >= 0.5
    assert "2 people compute" in heard.lines[0]
    without.end()
    assert not any(map(is_free, turns.iterdir()))
    first.end()
    third = take_turn(str(turns), heard)
    assert not any(map(is_free, turns.iterdir()))
    second.end()
    third.end()
    third.end()
    assert all(map(is_free, turns.iterdir()))


def test_a_turn_ends_by_itself_so_that_others_need_not_wait_for_a_days_work(turns):
    take_turn(str(turns), Heard(), longest=0.2)
    deadline = time.monotonic() + PATIENCE
    while not all(map(is_free, turns.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_turn_ends_with_its_process(turns):
    code = (
        "import sys, time; from earthlab.compute.turns import take_turn; from earthlab.notice import Notice\n"
        "turn = take_turn(sys.argv[1], Notice()); print('taken', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(turns)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"taken\n"
        assert sum(map(is_free, turns.iterdir())) == 1
        other.kill()
    assert all(map(is_free, turns.iterdir()))


@pytest.mark.parametrize("folder", ["", "/nowhere/turns"])
def test_without_a_lab_nobody_waits(folder):
    heard = Heard()
    began = time.monotonic()
    take_turn(folder, heard).end()
    assert time.monotonic() - began < 20
    assert heard.lines == []


def test_who_may_only_read_the_files_can_take_a_turn_and_a_link_is_none(turns, tmp_path):
    for place in turns.iterdir():
        place.unlink()
    (tmp_path / "else").touch()
    (turns / "0").symlink_to(tmp_path / "else")
    take_turn(str(turns), Heard(), patience=0.1).end()
    assert is_free(tmp_path / "else")
    (turns / "1").touch(mode=0o444)
    turn = take_turn(str(turns), Heard(), patience=0.1)
    assert not is_free(turns / "1")
    turn.end()
    assert (turns / "1").stat().st_mode & 0o777 == 0o444
