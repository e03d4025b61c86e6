"""Control groups: how they are found in what the machine says of itself, and what they do on this one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.hub.cgroups import (
    Limits,
    close_group,
    governed_group,
    lab_name,
    open_group,
    open_lab_group,
    plan_limits,
    sweep,
)
from earthlab.kernel.groups import (
    Group,
    Mount,
    Use,
    count_kills,
    parse_droppable,
    parse_kills,
    parse_limit,
    parse_membership,
    parse_mounts,
    read_use,
    resolve_folders,
    resolve_group,
)
from tests.patience import PATIENCE, eventually

MIB = 2**20

UBUNTU = (
    "24 30 0:22 / /proc rw,nosuid - proc proc rw\n"
    "35 25 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
)
"""A distribution of today: version 2 alone."""

CENTOS = (
    "30 23 0:26 / /sys/fs/cgroup ro,nosuid shared:8 - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:9 - cgroup cgroup rw,xattr,name=systemd\n"
    "33 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpuacct,cpu\n"
    "36 30 0:33 / /sys/fs/cgroup/memory rw,nosuid shared:14 - cgroup cgroup rw,memory\n"
    "38 30 0:35 / /sys/fs/cgroup/pids rw,nosuid shared:16 - cgroup cgroup rw,pids\n"
)
"""One of 2018: version 1, with two controllers in one place."""


def test_version_2_is_found_where_it_stands_alone():
    folders = resolve_folders(parse_membership("0::/system.slice/earthlab.service\n"), parse_mounts(UBUNTU))
    group = resolve_group(folders, frozenset({"cpuset", "cpu", "io", "memory", "pids"}))
    assert group == Group(
        2, dict.fromkeys(("memory", "pids", "cpu"), Path("/sys/fs/cgroup/system.slice/earthlab.service"))
    )
    assert group.places == ("/sys/fs/cgroup/system.slice/earthlab.service",)


def test_version_1_has_a_folder_for_each_controller():
    text = "9:pids:/user.slice\n7:cpuacct,cpu:/\n4:memory:/user.slice\n1:name=systemd:/user.slice/session-2.scope\n"
    group = resolve_group(resolve_folders(parse_membership(text), parse_mounts(CENTOS)), frozenset())
    assert group is not None
    assert group.version == 1
    assert group.places == (
        "/sys/fs/cgroup/memory/user.slice",
        "/sys/fs/cgroup/pids/user.slice",
        "/sys/fs/cgroup/cpu,cpuacct",
    )


def test_memory_decides_where_both_versions_are_mounted():
    mounts = parse_mounts(CENTOS + "39 30 0:36 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
    folders = resolve_folders(parse_membership("4:memory:/\n9:pids:/\n0::/\n"), mounts)
    assert resolve_group(folders, frozenset({"hugetlb"})).version == 1  # type: ignore[union-attr]
    without = {name: folder for name, folder in folders.items() if name != "memory"}
    assert resolve_group(without, frozenset({"hugetlb"})) is None
    assert resolve_group(without, frozenset({"memory", "pids"})).version == 2  # type: ignore[union-attr]


def test_a_container_sees_its_own_part_of_the_tree():
    # Docker with version 1 and no namespace of its own: what is mounted begins at the container's group.
    mounts = parse_mounts(
        "50 40 0:33 /docker/ab12 /sys/fs/cgroup/memory ro,nosuid master:14 - cgroup cgroup rw,memory\n"
    )
    inside = resolve_folders(parse_membership("4:memory:/docker/ab12/lab\n"), mounts)
    assert inside == {"memory": Path("/sys/fs/cgroup/memory/lab")}
    assert resolve_folders(parse_membership("4:memory:/docker/other\n"), mounts) == {}
    outside = parse_mounts("50 40 0:33 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    assert resolve_folders(parse_membership("0::/../lab\n"), outside) == {}


def test_no_group_is_found_where_none_is_mounted():
    assert parse_mounts("24 30 0:22 / /proc rw,nosuid - proc proc rw\n") == []
    assert resolve_group({}, frozenset()) is None


@given(
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1).filter(
        lambda t: t not in {".", ".."}
    )
)
def test_any_name_of_a_mount_is_read_back(name):
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in f"/sys/{name}")
    # Linux ends lines with \n and parts fields by single blanks alone.
    assert parse_mounts(f"50 40 0:33 / {escaped} rw - cgroup2 cgroup2 rw\n") == [
        Mount(PurePosixPath("/"), Path(f"/sys/{name}"), 2)
    ]


def test_kills_are_read_in_the_words_of_both_versions():
    assert parse_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert parse_kills("low 0\nhigh 0\nmax 41\noom 2\noom_kill 2\noom_group_kill 0\n") == 2
    assert parse_kills("oom_kill_disable 0\nunder_oom 0\n") is None


def test_no_limit_is_read_in_the_words_of_both_versions():
    assert parse_limit("max\n") is None
    assert parse_limit("9223372036854771712\n") is None
    assert parse_limit("4294967296\n") == 2**32


def test_droppable_copies_of_files_are_those_of_the_groups_below_too():
    assert parse_droppable("cache 10\ninactive_file 4\nactive_file 6\ntotal_inactive_file 7\n") == 7
    assert parse_droppable("anon 10\ninactive_file 4\n") == 4


def test_nobody_gets_swap_beyond_their_memory():
    assert ("memory.swap.max", "0") in plan_limits(2, Limits(5 * MIB))["memory"]
    assert plan_limits(1, Limits(5 * MIB))["memory"][-1] == ("memory.memsw.limit_in_bytes", str(5 * MIB))


def test_the_usual_weight_is_what_every_group_has_by_itself():
    assert plan_limits(2, Limits(MIB))["cpu"] == [("cpu.weight", "100")]
    assert plan_limits(1, Limits(MIB))["cpu"] == [("cpu.shares", "1024")]


def test_use_is_read_from_the_files_of_both_versions(tmp_path):
    recorded = {
        1: {
            "memory.usage_in_bytes": "110100480\n",
            "memory.limit_in_bytes": "209715200\n",
            "memory.stat": "cache 57344\nrss 110043136\ninactive_file 40960\ntotal_inactive_file 49152\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        },
        2: {
            "memory.current": "110100480\n",
            "memory.max": "max\n",
            "memory.stat": "anon 110043136\nfile 57344\ninactive_file 49152\nactive_file 8192\n",
            "memory.events": "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n",
        },
    }
    for version, files in recorded.items():
        folder = tmp_path / str(version)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert read_use(Group(1, {"memory": tmp_path / "1"})) == Use(110051328, 209715200, 1)
    assert read_use(Group(2, {"memory": tmp_path / "2"})) == Use(110051328, None, 1)


def test_kernels_that_count_no_kills_tell_how_often_the_limit_was_met(tmp_path):
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    (tmp_path / "memory.failcnt").write_text("12\n")
    assert count_kills(Group(1, {"memory": tmp_path})) == 12


# What follows happens on the machine.


governed = pytest.mark.skipif(governed_group() is None, reason="control groups of this machine are not ours to make")


@pytest.fixture
def lab(layout) -> Iterator[Group]:
    yield open_lab_group(layout)
    assert sweep(layout) == []
    assert _leftovers(layout) == []


def _leftovers(layout) -> list[str]:
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
    return [folder for mount in mounts for folder, _, _ in os.walk(mount.point) if lab_name(layout) in folder]


@pytest.fixture
def start() -> Iterator[Callable[[Group, str], subprocess.Popen[str]]]:
    """Starts a script in a group; none outlives the test."""
    with ExitStack() as stack:

        def start(group: Group, script: str) -> subprocess.Popen[str]:
            joining = f"from earthlab.hub.cgroups import join\njoin({group.places})\n"
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", joining + script], stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            return process

        yield start


def _eat(amount: int) -> str:
    return f"x = bytearray(b'x') * {amount}\nprint('full', flush=True)\nimport time; time.sleep(60)"


def _wait_for_word(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "full\n"


@governed
def test_who_takes_too_much_is_ended_and_counted_and_nobody_else_notices(lab, start):
    amina, boris = (open_group(lab, name, Limits(200 * MIB)) for name in ("amina", "boris"))
    neighbour = start(boris, _eat(50 * MIB))
    _wait_for_word(neighbour)
    glutton = start(amina, _eat(400 * MIB))
    assert glutton.wait(PATIENCE) == -signal.SIGKILL
    assert count_kills(amina) == 1
    assert neighbour.poll() is None
    use = read_use(boris)
    assert use.kills == 0
    assert use.limit == 200 * MIB
    assert 50 * MIB < use.memory < 90 * MIB
    assert close_group(amina)
    assert close_group(boris, patience=0)
    assert not any(map(os.path.isdir, (*amina.places, *boris.places)))


@governed
def test_all_of_a_users_processes_together_are_bounded(lab, start):
    group = open_group(lab, "amina", Limits(200 * MIB))
    first = start(group, _eat(120 * MIB))
    _wait_for_word(first)
    second = start(group, _eat(120 * MIB))
    ended = _first_to_end(first, second)
    assert ended.returncode == -signal.SIGKILL
    assert close_group(group, patience=0)
    assert {first.wait(PATIENCE), second.wait(PATIENCE)} == {-signal.SIGKILL}


def _first_to_end(*processes: subprocess.Popen[str]) -> subprocess.Popen[str]:
    for _ in range(300):
        for process in processes:
            if process.poll() is not None:
                return process
        time.sleep(0.1)
    raise AssertionError("none of them ended")


@governed
def test_who_forks_without_end_is_stopped_and_leaves_nothing(lab, start):
    group = open_group(lab, "amina", Limits(200 * MIB, processes=20))
    forever = "import os, time\nwhile True:\n    try: os.fork()\n    except BlockingIOError: time.sleep(0.01)\n"
    first = start(group, forever)
    members = group.memory / "cgroup.procs"
    eventually(lambda: len(members.read_text().split()) == 20)
    assert close_group(group, patience=0)
    assert first.wait(PATIENCE) == -signal.SIGKILL


@governed
def test_a_group_that_is_gone_or_was_never_made_is_closed_already(lab):
    assert close_group(lab.below("nobody"), patience=0)


@governed
def test_limits_of_an_open_group_can_be_raised_and_lowered(lab):
    for amount in (100, 300, 200):
        assert read_use(open_group(lab, "amina", Limits(amount * MIB))).limit == amount * MIB


@governed
def test_a_group_that_cannot_be_bounded_is_not_left_behind(lab):
    with pytest.raises(OSError, match="Invalid argument"):
        open_group(lab, "amina", Limits(-5))
    assert not any(map(os.path.isdir, lab.below("amina").places))


@governed
def test_what_a_killed_lab_left_is_swept_with_all_that_runs_in_it(lab, layout, start):
    process = start(open_group(lab, "amina", Limits(200 * MIB)), _eat(MIB))
    _wait_for_word(process)
    assert sweep(layout) == []
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert _leftovers(layout) == []


@governed
def test_another_lab_is_left_alone(lab, layout):
    group = open_group(lab, "amina", Limits(200 * MIB))
    other = type(layout)(layout.state, layout.run, "0" * 8)
    assert sweep(other) == []
    assert all(map(os.path.isdir, group.places))


def _version_2() -> Path | None:
    """Where the machine's hierarchy of version 2 is, and ours to make groups in."""
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
    return next((mount.point for mount in mounts if mount.version == 2 and os.access(mount.point, os.W_OK)), None)


@pytest.mark.skipif(_version_2() is None, reason="there is no hierarchy of version 2, or it is not ours")
def test_version_2_joins_ends_and_removes_with_whatever_it_governs(layout, start):
    point = _version_2()
    assert point is not None
    lab = point / lab_name(layout)
    lab.mkdir()
    group, other = (Group(2, {"memory": lab / name}) for name in ("amina", "boris"))
    for each in (group, other):
        each.memory.mkdir()
    process, neighbour = (start(each, _eat(MIB)) for each in (group, other))
    _wait_for_word(process)
    _wait_for_word(neighbour)
    assert (group.memory / "cgroup.procs").read_text().split() == [str(process.pid)]
    assert close_group(group, patience=0)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert neighbour.poll() is None
    assert sweep(layout) == []
    assert neighbour.wait(PATIENCE) == -signal.SIGKILL
    assert not lab.exists()
