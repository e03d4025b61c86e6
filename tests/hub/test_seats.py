"""Figures of real processes against psutil's own, and whose they are in constructed families."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.hub.seats import (
    Meter,
    Owner,
    Round,
    Seat,
    Stat,
    Watch,
    climb,
    find_owners,
    list_stats,
    needs_reading,
    parse_stat,
)
from tests.patience import eventually_async

MB = 10**6


def stat(pid, parent=1, uid=1000, **words):
    known = {"start": 5, "command": "python", "ticks": 0, "faults": 0, "pages": 0} | words
    return Stat(pid=pid, parent=parent, uid=uid, **known)


@contextmanager
def running(code):
    """A child that runs code, then says so and waits."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline().strip() == "ready"
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_command_may_hold_brackets_and_blanks():
    rest = " ".join(
        ["S", "7", *"0123456789"[:2], *["0"] * 3, "11", "0", "13", "0", "101", "102", *["0"] * 6, "99", "0", "512"]
    )
    found = parse_stat(f"42 (a) b (c) {rest}", 1000)
    assert (found.pid, found.command, found.parent, found.start) == (42, "a) b (c", 7, 99)
    assert (found.faults, found.ticks, found.pages) == (24, 203, 512)


def test_what_a_stat_says_is_what_psutil_says():
    mine, theirs = list_stats()[os.getpid()], psutil.Process()
    assert (mine.parent, mine.uid) == (theirs.ppid(), theirs.uids().effective)
    assert mine.pages * os.sysconf("SC_PAGE_SIZE") == pytest.approx(theirs.memory_info().rss, rel=0.2)


def test_each_process_belongs_to_the_nearest_server_above_it():
    family = {s.pid: s for s in (stat(10), stat(11, 10), stat(12, 11), stat(20, 11), stat(21, 20), stat(30))}
    amina, bruno = Owner("amina", 1000, 10), Owner("bruno", 1000, 20)
    assert find_owners(family, [amina, bruno]) == {10: amina, 11: amina, 12: amina, 20: bruno, 21: bruno}


def test_workers_belong_to_whoever_has_their_account_alone():
    family = {s.pid: s for s in (stat(10, uid=1001), stat(50, uid=1001), stat(51, uid=1002), stat(52, uid=1003))}
    amina, bruno, chloe = Owner("amina", 1001, 10), Owner("bruno", 1002), Owner("chloe", 1002)
    assert find_owners(family, [amina, bruno, chloe]) == {10: amina, 50: amina}


def test_what_the_hub_s_own_account_runs_belongs_to_nobody_but_by_descent():
    me = os.getuid()
    family = {s.pid: s for s in (stat(10, uid=me), stat(50, uid=me))}
    amina = Owner("amina", me, 10)
    assert find_owners(family, [amina]) == {10: amina}


def test_a_circle_of_parents_ends():
    family = {s.pid: s for s in (stat(10, 11), stat(11, 10))}
    assert list(climb(10, family)) == [10, 11]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 300))
def test_a_process_that_touched_nothing_is_read_only_when_its_figure_is_old(pages, faults, more, age):
    before = stat(1, pages=pages, faults=faults)
    assert needs_reading(before, before, age) is (age > 120)
    assert needs_reading(stat(1, pages=pages, faults=faults + more), before, 0) is (more > 512)
    assert needs_reading(stat(1, pages=pages + more, faults=faults), before, 0) is (more > 512)


def test_a_seat_s_memory_is_what_psutil_finds_and_not_its_resident_memory():
    with running("import numpy") as child:
        owner = Owner("amina", os.getuid(), child.pid)
        [seat] = Meter().measure([owner]).seats
        expected = psutil.Process(child.pid).memory_full_info()
    assert seat.owner is owner
    assert seat.processes == 1
    assert seat.pss == pytest.approx(expected.pss, rel=0.1)


def test_children_count_and_are_what_started_them():
    inner = "import subprocess, sys; subprocess.Popen(['sleep', '60'])"
    code = f"{inner}; open('/proc/self/comm', 'w').write('el-server')"
    with running(code) as child:
        [seat] = Meter().measure([Owner("amina", os.getuid(), child.pid)]).seats
        for grandchild in psutil.Process(child.pid).children():
            grandchild.kill()
    assert seat.processes == 2
    assert set(seat.memory) == {"server"}


def test_memory_taken_between_two_rounds_is_noticed():
    meter = Meter()
    with running("print('ready', flush=True); input(); kept = bytearray(b'1') * 40_000_000") as child:
        owner = Owner("amina", os.getuid(), child.pid)
        [before] = meter.measure([owner]).seats
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline().strip() == "ready"
        [after] = meter.measure([owner]).seats
    assert after.pss - before.pss == pytest.approx(40 * MB, rel=0.1)


def test_a_busy_process_uses_the_core_that_it_uses():
    meter = Meter()
    busy = "import threading\ndef f():\n while True: pass\nthreading.Thread(target=f, daemon=True).start()"
    with running(busy) as child:
        owner, process = Owner("amina", os.getuid(), child.pid), psutil.Process(child.pid)

        def spent():
            return sum(process.cpu_times()[:2])

        before_first = spent()
        first = meter.measure([owner])
        after_first = spent()
        time.sleep(1)
        before_second = spent()
        second = meter.measure([owner])
        after_second = spent()
    seconds, tick = second.at - first.at, 0.02
    assert first.seats[0].cores == 0
    assert second.seats[0].cores >= (before_second - after_first - tick) / seconds
    assert second.seats[0].cores <= (after_second - before_first + tick) / seconds


def test_whoever_is_not_there_takes_nothing_and_the_lab_s_own_parts_are_apart():
    with running("pass"):
        found = Meter().measure([Owner("gone", 99_999, None)])
    assert [(seat.pss, seat.processes, seat.cores) for seat in found.seats] == [(0, 0, 0)]
    assert found.lab > psutil.Process().memory_full_info().pss * 0.8


class Counting(Meter):
    """Rounds that are counted and take a moment, as real ones do."""

    def __init__(self, *seats):
        super().__init__()
        self.rounds = 0
        self.seats = seats
        self.later = 0.0

    def measure(self, owners):
        self.rounds += 1
        time.sleep(0.05)
        return Round(time.monotonic() + self.later, self.seats, 0, 0.0)


async def test_many_who_ask_at_once_wait_for_one_round():
    meter = Counting()
    watch = Watch(list, meter)
    assert watch.latest().seats == ()
    found = await asyncio.gather(*(watch.fresh() for _ in range(20)))
    assert len(set(map(id, found))) == 1
    assert meter.rounds == 1
    await watch.fresh()
    assert meter.rounds == 1


async def test_the_highest_figure_of_a_seat_long_in_use_is_remembered_and_an_idle_or_a_new_one_s_is_not():
    amina, bruno = Owner("amina", 1), Owner("bruno", 2)
    meter = Counting(Seat(amina, {"server": 40, "kernel": 60}, 0, 2), Seat(bruno, {"server": 40}, 0, 1))
    watch = Watch(list, meter)
    await watch.fresh()
    assert watch.peaks == {}, "a seat that has just begun says nothing of what it will take"
    chloe = Owner("chloé", 3)
    meter.later = 700
    meter.seats = (Seat(amina, {"server": 40, "kernel": 50}, 0, 2), Seat(chloe, {"server": 9, "kernel": 9}, 0, 2))
    await watch.fresh()
    assert watch.peaks == {"amina": 100}


async def test_who_waits_for_room_has_the_next_figures_made_sooner(monkeypatch):
    for name, seconds in {"_PAUSE": 0.01, "_SELDOM": 10_000.0, "_SHARE": 1e-9}.items():
        monkeypatch.setattr(f"earthlab.hub.seats.{name}", seconds)
    meter = Counting()
    watch = Watch(list, meter)
    monkeypatch.setattr(meter, "measure", lambda owners: replace(Counting.measure(meter, owners), cost=0.001))
    watch.latest()
    for rounds in (1, 2, 3):
        await eventually_async(lambda rounds=rounds: meter.rounds == rounds)
        await asyncio.sleep(0.2)
        assert meter.rounds == rounds, "not before somebody waits"
        watch.hurry()
