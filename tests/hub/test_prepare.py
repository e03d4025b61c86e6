import os
import stat
import subprocess
import sys

import pytest

from earthlab.errors import SetupError
from earthlab.hub.layout import MARKER
from earthlab.hub.prepare import lab_runs, make_folders, make_turns, prepare_lab, take_lock
from tests.patience import PATIENCE


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_each_room_shows_itself_to_whom_it_must(layout):
    os.close(prepare_lab(layout))
    assert mode(layout.hub) == 0o700
    assert mode(layout.homes) == 0o711
    assert mode(layout.catalogue) == 0o755
    assert mode(layout.database) == 0o600


def test_one_state_folder_runs_one_hub(layout):
    make_folders(layout)
    assert not lab_runs(layout)
    lock = take_lock(layout)
    assert lab_runs(layout)
    with pytest.raises(SetupError, match=f"already runs .process {os.getpid()}"):
        take_lock(layout)
    os.close(lock)
    assert not lab_runs(layout)


def test_the_lock_of_a_hub_that_was_killed_is_free(layout):
    make_folders(layout)
    script = (
        "import os, sys, signal; from pathlib import Path\n"
        "from earthlab.hub.layout import Layout; from earthlab.hub.prepare import take_lock\n"
        f"take_lock(Layout(Path({str(layout.state)!r}), Path({str(layout.run)!r}), {layout.lab_id!r}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    os.close(take_lock(layout))


def test_what_an_earlier_hub_left_is_ended_and_its_proxys_pid_forgotten(layout):
    make_folders(layout)
    left = subprocess.Popen(["sleep", "60"], env={MARKER: layout.lab_id})
    layout.proxy_pid.write_text(str(os.getppid()))
    os.close(prepare_lab(layout))
    assert left.wait(PATIENCE) < 0
    assert not layout.proxy_pid.exists()


def test_a_link_in_the_place_of_the_run_folder_is_refused(layout, open_folder):
    layout.run.symlink_to(open_folder)
    try:
        with pytest.raises(SetupError, match="not a folder of"):
            make_folders(layout)
    finally:
        layout.run.unlink()


def test_a_file_in_the_place_of_the_state_folder_is_refused_with_the_next_step(layout):
    layout.state.write_text("")
    with pytest.raises(SetupError, match="EARTHLAB__LAB__STATE"):
        make_folders(layout)


def test_everybody_may_lock_the_files_of_turns_and_nobody_write_them(tmp_path):
    make_turns(tmp_path, 3)
    assert [place.name for place in sorted(tmp_path.iterdir())] == ["0", "1", "2"]
    assert {place.stat().st_mode & 0o777 for place in tmp_path.iterdir()} == {0o444}
    held = (tmp_path / "0").stat().st_ino
    make_turns(tmp_path, 1)
    assert [place.stat().st_ino for place in tmp_path.iterdir()] == [held]
