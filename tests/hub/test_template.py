import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from earthlab.hub.head import HEAD
from earthlab.hub.layout import MARKER
from earthlab.hub.parts import classify
from earthlab.hub.template import LIVES, keep_running, plan_command, template_socket
from tests.patience import PATIENCE


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Something that runs until it is killed, and notes its pid and environment; and the thread that keeps it."""
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hush")
    monkeypatch.setenv(MARKER, "0123")
    monkeypatch.setenv(HEAD, "7")
    notes = tmp_path / "notes"
    script = (
        "import os, sys, time\nopen(sys.argv[1], 'a').write(f'{os.getpid()} {sorted(os.environ)}\\n')\ntime.sleep(60)"
    )
    stopping = threading.Event()
    thread = threading.Thread(target=keep_running, args=([sys.executable, "-c", script, str(notes)], stopping))
    thread.start()
    yield notes
    stopping.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not any(Path(f"/proc/{line.split()[0]}").exists() for line in notes.read_text().splitlines())


def wait_for_lines(notes: Path, count: int) -> list[str]:
    until = time.monotonic() + PATIENCE
    while not notes.exists() or len(lines := notes.read_text().splitlines()) < count:
        assert time.monotonic() < until
        time.sleep(0.02)
    return lines


def test_a_template_that_is_killed_is_followed_by_another_in_a_moment(watched):
    first = wait_for_lines(watched, 1)[0]
    os.kill(int(first.split()[0]), signal.SIGKILL)
    assert len(wait_for_lines(watched, 2)) == 2


def test_a_template_gets_nothing_of_the_hubs_but_what_is_listed(watched):
    names = wait_for_lines(watched, 1)[0]
    assert MARKER in names
    assert HEAD in names
    assert "JUPYTERHUB" not in names


@pytest.mark.parametrize("name", LIVES)
def test_each_life_is_told_by_the_15_bytes_that_a_process_has_for_its_name(name):
    assert classify(f"el-{name}"[:15], b"") == name


def test_the_command_names_the_hub_as_the_one_who_may_ask(layout):
    command = plan_command(layout, 42)
    assert command[command.index("--owner") + 1] == "42"
    assert command[command.index("--socket") + 1] == str(template_socket(layout))
    assert template_socket(layout).parent == layout.run
