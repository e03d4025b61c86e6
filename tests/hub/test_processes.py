import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from earthlab.hub.accounts import ensure_account
from earthlab.hub.layout import MARKER, interpreter
from earthlab.hub.prepare import make_folders
from earthlab.hub.processes import (
    Process,
    ancestors,
    end_account,
    end_lab_processes,
    find_lab_processes,
    read_process,
    send,
)
from earthlab.testing.accounts import remove_accounts
from tests.hub.conftest import root_only
from tests.patience import PATIENCE, eventually

STUBBORN = ["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"]


def hears_nothing(pid):
    """Whether a stubborn one has come as far as to ignore what would end it."""
    ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[1]
    return int(ignored, 16) >> (signal.SIGTERM - 1) & 1


@pytest.fixture
def started():
    found = []

    def start(command, **options):
        found.append(subprocess.Popen(command, **options))
        return found[-1]

    yield start
    for process in found:
        process.kill()
        process.wait()


def pids(processes):
    return {p.pid for p in processes}


def test_a_process_is_ours_by_the_mark_of_this_lab_only(layout, started):
    ours = started(["sleep", "60"], env={MARKER: layout.lab_id})
    other = started(["sleep", "60"], env={MARKER: "00000000"})
    longer = started(["sleep", "60"], env={MARKER: layout.lab_id + "0"})
    found = pids(find_lab_processes(layout))
    assert ours.pid in found
    assert not {other.pid, longer.pid} & found


def test_those_to_be_spared_and_we_ourselves_are_left_out(layout, started):
    ours = started(["sleep", "60"], env={MARKER: layout.lab_id})
    assert pids(find_lab_processes(layout, spare=[ours.pid])) == set()
    assert os.getpid() in ancestors(os.getpid())


def test_a_command_with_brackets_and_blanks_in_its_name_is_read_right(open_folder, started):
    odd = open_folder / "a) R (b"
    odd.symlink_to("/bin/sleep")
    process = started([str(odd), "60"])
    time.sleep(0.2)
    found = read_process(process.pid)
    assert found.command == "a) R (b"
    assert found.parent == os.getpid()


def test_a_zombie_counts_as_ended(started):
    process = started(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert read_process(process.pid) is None


def test_even_what_hears_no_signal_drops_its_mark_and_leaves_its_parent_is_ended(layout):
    script = f"""
import os, subprocess, time
from pathlib import Path
from earthlab.hub.layout import Layout
from earthlab.hub.processes import adopt_orphans, descendants, end_lab_processes
from earthlab.testing.accounts import remove_accounts
adopt_orphans()
subprocess.run(["setsid", "-f", *{STUBBORN!r}], env={{"PATH": os.environ["PATH"]}}, check=True)
time.sleep(0.3)
print(len(descendants(os.getpid())) > 0)
layout = Layout(Path({str(layout.state)!r}), Path({str(layout.run)!r}), {layout.lab_id!r})
print(end_lab_processes(layout, below=os.getpid(), grace=0.3), descendants(os.getpid()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "True\n[] set()\n"


def test_what_ends_by_itself_is_given_the_time(layout, started):
    process = started(["sleep", "0.5"], env={MARKER: layout.lab_id})
    # Reaped as it ends, as a supervisor does.
    signal.signal(signal.SIGCHLD, lambda *_: process.poll())
    try:
        assert end_lab_processes(layout, patience=5) == []
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert process.wait() == 0


def test_a_pid_that_another_program_has_by_now_gets_no_signal(started):
    process = started(["sleep", "60"])
    now = read_process(process.pid)
    send(Process(now.pid, now.parent, now.start - 1, now.uid, now.command), signal.SIGKILL)
    time.sleep(0.2)
    assert process.poll() is None


def test_a_process_that_has_ended_gets_no_signal_and_that_is_no_error(started):
    process = started(["sleep", "60"])
    seen = read_process(process.pid)
    process.kill()
    # First a zombie, then nothing.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    send(seen, signal.SIGTERM)
    assert process.wait() == -signal.SIGKILL
    send(seen, signal.SIGTERM)


def test_a_tethered_command_ends_when_its_parent_is_killed(started):
    script = (
        "import os, subprocess, sys, time\n"
        f"command = [{str(interpreter())!r}, '-m', 'earthlab.hub.tether', str(os.getpid()), 'sleep', '60']\n"
        "p = subprocess.Popen(command)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = started([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent.stdout as out:
        pid = int(out.readline())
    while read_process(pid).command != "sleep":
        time.sleep(0.05)
    parent.kill()
    until = time.monotonic() + PATIENCE
    while read_process(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert read_process(pid) is None


@root_only
def test_processes_of_the_labs_accounts_are_ours_and_those_of_strangers_who_claim_so_are_not(layout, started):
    make_folders(layout)
    account = ensure_account("ada", layout)
    try:
        user = {"user": account.uid, "group": account.gid, "extra_groups": []}
        ours = started(STUBBORN, env={}, **user)
        stranger = started(["sleep", "60"], env={MARKER: layout.lab_id}, user=65534, group=65534, extra_groups=[])
        eventually(lambda: hears_nothing(ours.pid))
        assert ours.pid in pids(find_lab_processes(layout))
        assert stranger.pid not in pids(find_lab_processes(layout))
        assert end_lab_processes(layout, grace=0.3) == []
        assert ours.wait(PATIENCE) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        end_lab_processes(layout, grace=0)
        remove_accounts(layout)


@root_only
def test_an_account_s_processes_end_wherever_they_have_gone_and_nobody_else_s(layout, started):
    make_folders(layout)
    accounts = [ensure_account(name, layout) for name in ("ada", "bob")]
    try:
        ada, bob = ({"user": each.uid, "group": each.gid, "extra_groups": []} for each in accounts)
        gone = started(STUBBORN, env={}, start_new_session=True, **ada)
        other = started(["sleep", "60"], env={}, **bob)
        ours = started(["sleep", "60"])
        eventually(lambda: hears_nothing(gone.pid))
        assert end_account(layout, accounts[0].uid, patience=0.1) == []
        assert gone.wait(PATIENCE) == -signal.SIGKILL
        for uid in (0, 65534):
            assert end_account(layout, uid, patience=0) == []
        assert other.poll() is None
        assert ours.poll() is None
    finally:
        end_lab_processes(layout, grace=0)
        remove_accounts(layout)


@root_only
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, signal.SIGSTOP])
def test_what_an_account_s_processes_send_to_whoever_ends_them_neither_reaches_us_nor_holds_us_up(
    layout, started, monkeypatch, sent
):
    """The process that ends them becomes the account's, which may signal it then: here it does so itself."""
    make_folders(layout)
    account = ensure_account("ada", layout)
    heard, woken = os.pipe2(os.O_NONBLOCK)
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGTERM, signal.SIGUSR1)}
    loop = signal.set_wakeup_fd(woken)
    become = os.setresuid
    monkeypatch.setattr("os.setresuid", lambda *uids: (become(*uids), os.kill(os.getpid(), sent)))
    monkeypatch.setattr("earthlab.hub.processes._KILLED_WITHIN", 0.2)
    try:
        left = started(["sleep", "60"], env={}, user=account.uid, group=account.gid, extra_groups=[])
        assert end_account(layout, account.uid, patience=0) == []
        assert left.wait(PATIENCE) == -signal.SIGKILL
        with pytest.raises(BlockingIOError):
            os.read(heard, 1)
    finally:
        signal.set_wakeup_fd(loop)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.close(heard)
        os.close(woken)
        end_lab_processes(layout, grace=0)
        remove_accounts(layout)
