"""Reads tried again: every retry counts for the file, and nothing is given up that could have been read."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.cube import retries
from earthlab.cube.retries import failures, read_patiently
from earthlab.errors import ReadFault
from earthlab.settings import ReadingSettings

LIMITS = ReadingSettings(retries=2, budget=30.0)


@pytest.fixture(autouse=True)
def fresh():
    failures.forget()
    yield
    failures.forget()


class File:
    """Fails so many times, then answers; counts."""

    def __init__(self, fails=10**6, cause="HTTP response code: 503", lasts=0.0):
        self.fails, self.cause, self.lasts, self.tries = fails, cause, lasts, 0
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self.tries += 1
            failed = self.tries <= self.fails
        if failed:
            time.sleep(self.lasts)
            raise ReadFault(self.cause)
        return "values"


def ask(file, block, limits=LIMITS):
    return read_patiently(file, "https://a.test/x.tif", lambda: block, limits)


def test_a_fault_that_passes_is_tried_until_it_has():
    file = File(fails=2)
    assert ask(file, 1) == "values"
    assert file.tries == 3
    assert not failures.files


def test_a_fault_that_will_not_pass_is_told_at_once_and_not_remembered():
    file = File(cause="HTTP response code: 404")
    assert isinstance(ask(file, 1), ReadFault)
    assert file.tries == 1
    assert not failures.files


def test_a_fault_that_turns_out_to_be_lasting_ends_the_retries():
    file = File(fails=1)
    assert isinstance(read_patiently(_then_gone(file), "x", lambda: 1, LIMITS), ReadFault)
    assert not failures.files


def _then_gone(file):
    def read():
        file()
        raise ReadFault("HTTP response code: 404")

    return read


def test_the_retries_of_a_file_are_used_up_once_and_every_other_block_still_asks_once():
    file = File()
    assert all(isinstance(ask(file, block), ReadFault) for block in range(9))
    assert file.tries == 3 + 8


def test_what_is_not_a_fault_of_reading_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        ask(lambda: 1 / 0, 1)


def test_a_file_that_stalls_is_left_alone_after_two_blocks(monkeypatch):
    monkeypatch.setattr(retries, "STALL", 0.05)
    file = File(lasts=0.06)
    found = [ask(file, block) for block in range(9)]
    assert {str(fault) for fault in found} == {"HTTP response code: 503"}
    assert file.tries == 3 + 1


def test_a_block_that_comes_back_finds_the_file_with_all_its_retries(monkeypatch):
    monkeypatch.setattr(retries, "STALL", 0.05)
    file = File(lasts=0.06)
    for block in range(9):
        ask(file, block)
    file.fails = file.tries + 2
    assert [ask(file, block) for block in (7, 0, 8)] == ["values"] * 3


def test_one_success_clears_the_file(monkeypatch):
    monkeypatch.setattr(retries, "STALL", 0.05)
    file = File(lasts=0.06)
    ask(file, 1)
    file.fails = 0
    assert ask(file, 2) == "values"
    file.fails, file.tries = 2, 0
    assert ask(file, 3) == "values"


def test_what_is_remembered_ends(monkeypatch):
    monkeypatch.setattr(retries, "LEAST_MEMORY", 0.0)
    monkeypatch.setattr(retries, "MOST_MEMORY", 0.0)
    file = File()
    ask(file, 1)
    ask(file, 2)
    assert file.tries == 6


def test_only_so_many_files_are_remembered(monkeypatch):
    monkeypatch.setattr(retries, "MOST_FILES", 3)
    for at in range(5):
        read_patiently(File(), str(at), lambda: 1, ReadingSettings(retries=0))
    assert list(failures.files) == ["2", "3", "4"]


def test_blocks_that_fail_together_leave_the_retries_to_one():
    file, begin = File(), threading.Barrier(6)

    def read():
        if file.tries < 6:
            try:
                file()
            finally:
                begin.wait()
        return file()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda block: read_patiently(read, "x", lambda: block, LIMITS), range(6)))
    assert all(isinstance(fault, ReadFault) for fault in found)
    assert file.tries == 6 + 2


def test_blocks_that_fail_together_are_all_served_once_the_server_is_back():
    file, begin = File(fails=7), threading.Barrier(6)

    def read():
        try:
            return file()
        finally:
            if file.tries <= 6:
                begin.wait()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda block: read_patiently(read, "x", lambda: block, LIMITS), range(6)))
    assert found == ["values"] * 6


def test_no_retry_is_begun_after_the_budget():
    file = File()
    ask(file, 1, ReadingSettings(retries=50, budget=0.0))
    assert file.tries == 1


def test_a_fork_begins_with_nothing_remembered():
    ask(File(), 1)
    with failures.turn("https://a.test/x.tif"), multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_forked) == (0, "values")


def _forked():
    return len(failures.files), ask(File(fails=1), 1)
