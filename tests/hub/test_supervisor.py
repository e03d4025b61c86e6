"""What a supervisor does where its hub ends, with hubs that are a few lines of Python each."""

import sys
from itertools import chain, repeat

import pytest

from earthlab.errors import SetupError
from earthlab.hub import supervisor
from earthlab.hub.processes import end_lab_processes
from earthlab.hub.standing import start_part
from tests.patience import eventually

ENDS = "raise SystemExit(3)"
LASTS = "import time; time.sleep(600)"
STOPS_SERVERS_WHEN_ASKED_TO_END = """
import signal, sys, time
def stop_servers(*_):
    open("stopped", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, stop_servers)
open("hangs", "w").close()
time.sleep(600)
"""


class Seen(Exception):
    """The test has seen what it wanted."""


@pytest.fixture
def lives(monkeypatch):
    """What each hub does in its turn; all after these end as they start."""
    found = []
    turn = chain(found, repeat(ENDS))

    def start(_command, environment, log):
        return start_part([sys.executable, "-c", next(turn)], environment, log)

    monkeypatch.setattr(supervisor, "start_part", start)
    monkeypatch.setattr(supervisor, "plan_standing", lambda *_: ())
    return found


@pytest.fixture
def hub(layout, settings, lives):
    """A hub under its supervisor, not yet started."""
    layout.hub.mkdir(parents=True)
    with supervisor._stoppers() as stop:
        found = supervisor._Hub(settings, layout, stop)
        yield found
        end_lab_processes(layout, grace=0)
        found._reap()


def does(hub):
    """What the hub of this moment does."""
    return hub.process.args[-1]


def test_a_hub_that_ends_again_before_it_is_ready_is_started_three_times_and_then_given_up(hub, capsys):
    hub.start()
    with pytest.raises(SetupError, match="exit code 3"):
        hub.watch_for_good()
    assert capsys.readouterr().out.count("the hub is started again") == supervisor._MOST_ENDS == 3


def test_restarts_in_vain_end_however_long_each_takes(hub, monkeypatch, capsys):
    monkeypatch.setattr(supervisor, "_MOST_ENDS_WITHIN", 0.0)
    hub.start()
    with pytest.raises(SetupError, match="exit code 3"):
        hub.watch_for_good()
    assert capsys.readouterr().out.count("the hub is started again") == supervisor._MOST_ENDS


def test_a_hub_that_comes_back_at_the_second_attempt_only_is_watched_on(hub, lives, monkeypatch, capsys):
    lives += [ENDS, ENDS, LASTS]
    wait = supervisor._Hub._wait

    def wait_or_see(self, seconds):
        if does(hub) == LASTS:
            raise Seen
        wait(self, seconds)

    monkeypatch.setattr(supervisor._Hub, "_wait", wait_or_see)
    monkeypatch.setattr(supervisor, "_answers", lambda _: does(hub) == LASTS)
    hub.start()
    with pytest.raises(Seen):
        hub.watch_for_good()
    said = capsys.readouterr().out
    assert said.count("the hub is started again") == 2
    assert said.count("exit code 3") == 2


def test_a_hub_that_never_answers_is_followed_by_the_next_without_a_word_to_people_s_servers(
    hub, lives, layout, monkeypatch
):
    lives += [ENDS, STOPS_SERVERS_WHEN_ASKED_TO_END]
    hangs, stopped = layout.log.parent / "hangs", layout.log.parent / "stopped"

    def answers(_url):
        if does(hub) == STOPS_SERVERS_WHEN_ASKED_TO_END:
            eventually(hangs.exists)
        return False

    monkeypatch.setattr(supervisor, "_READY_WITHIN", 0.0)
    monkeypatch.setattr(supervisor, "_answers", answers)
    hub.start()
    with pytest.raises(SetupError):
        hub.watch_for_good()
    assert hangs.exists()
    assert not stopped.exists()
