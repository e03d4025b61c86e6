"""A small class rehearsed on the real lab, and what is left when a rehearsal is cut short."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from earthlab.hub.accounts import lab_accounts
from earthlab.rehearsal.traffic import load_recording
from tests.e2e.conftest import ARTEFACTS, PROGRAM, Lab
from tests.patience import eventually
from tests.rehearsal.recorder import record

pytestmark = pytest.mark.e2e

TOUR = Path(__file__).resolve().parents[2] / "notebooks" / "start" / "premiers-pas.ipynb"
QUICK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "earthlab"}},
    "cells": [
        {"cell_type": "code", "source": "print(1)", "metadata": {}},
        {"cell_type": "code", "source": "import time; time.sleep(2); print('done')", "metadata": {}},
        {
            "cell_type": "code",
            "source": "from IPython.display import HTML; HTML('<svg width=\"9\"></svg>')",
            "metadata": {},
        },
        {"cell_type": "code", "source": "1 / 0", "metadata": {}},
    ],
}


def _start(lab: Lab, report: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PROGRAM), "rehearse", "--report", str(report), *words],
        env=lab.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _left(lab: Lab) -> list[str]:
    accounts = [name for name in lab_accounts(lab.layout).values() if name.startswith("el-repetition-")]
    return accounts + [str(home) for home in lab.layout.homes.glob("el-repetition-*")]


def test_three_people_come_work_through_the_tour_and_leave_no_trace(lab: Lab, entry_link: str) -> None:
    words = ("--seats", "3", "--minutes", "0.4", "--within", "3", "--notebook", str(TOUR))
    said, _ = _start(lab, ARTEFACTS / "repetition", *words).communicate(timeout=480)
    found = json.loads((ARTEFACTS / "repetition" / "repetition.json").read_text(encoding="utf-8"))
    stories = found["rehearsal"]["stories"]
    assert found["figures"]["failures"] == {}, said
    assert [story["cells_run"] for story in stories] == [found["rehearsal"]["cells"]] * 3
    assert sorted(story["habit"] for story in stories) == ["drops", "steady", "steady"]
    assert {"sign_in", "lab_ready", "first_cell", "first_picture"} == set(found["figures"]["waits"])
    # It lives for some seconds, and looks are seldom where they are dear.
    assert {"scheduler", "worker"} & found["figures"]["parts"].keys(), "the tour's cluster was not seen"
    assert found["figures"]["fit"]["seats"] > 3
    assert found["rehearsal"]["left_behind"] == []
    assert not _left(lab)


def test_a_notebook_of_one_s_own_is_brought_and_its_errors_are_told(lab: Lab, entry_link: str, tmp_path: Path) -> None:
    notebook = tmp_path / "mine.ipynb"
    notebook.write_text(json.dumps(QUICK), encoding="utf-8")
    rehearsal = _start(lab, tmp_path, "--seats", "2", "--minutes", "0.1", "--within", "1", "--notebook", str(notebook))
    said, _ = rehearsal.communicate(timeout=300)
    found = json.loads((tmp_path / "repetition.json").read_text(encoding="utf-8"))
    assert rehearsal.returncode == 1
    assert "no-go" in said
    assert set(found["figures"]["failures"]) == {"cell error"}, said
    many, example = found["figures"]["failures"]["cell error"]
    assert many == 2
    assert example["what"].startswith("cell 4: ZeroDivisionError")
    assert found["figures"]["waits"]["first_picture"]["many"] == 2


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGINT, signal.SIGTERM), (signal.SIGKILL,)])
def test_a_rehearsal_that_is_cut_short_takes_its_seats_away(
    lab: Lab, entry_link: str, tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    rehearsal = _start(lab, tmp_path, "--seats", "2", "--minutes", "5", "--within", "0", "--notebook", str(TOUR))
    try:
        eventually(lambda: len(list(lab.layout.homes.glob("el-repetition-*"))) == 2, what="no seat was taken")
        time.sleep(3)
        for sent in signals:
            rehearsal.send_signal(sent)
            # Two seats are cleared away in a quarter of a second.
            time.sleep(0.05)
        said, _ = rehearsal.communicate(timeout=120)
        eventually(lambda: not _left(lab), what="seats are left")
        if signal.SIGKILL not in signals:
            assert said.count("one moment") == len(signals) - 1
            assert "Unclosed" not in said
            page = json.loads((tmp_path / "repetition.json").read_text(encoding="utf-8"))
            assert page["rehearsal"]["interrupted"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rehearsal.pid, signal.SIGKILL)


def test_only_one_rehearsal_of_a_lab_at_a_time_and_none_without_a_lab(
    lab: Lab, entry_link: str, tmp_path: Path
) -> None:
    words = ("--seats", "1", "--minutes", "5", "--notebook", str(TOUR))
    first = _start(lab, tmp_path, *words)
    eventually(lambda: any(lab.layout.homes.glob("el-repetition-*")), what="no seat was taken")
    second = _start(lab, tmp_path, *words)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 2
    assert "another rehearsal" in said
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    nowhere = _start(lab, tmp_path, *words, "--state", str(tmp_path / "nowhere"))
    said, _ = nowhere.communicate(timeout=120)
    assert nowhere.returncode == 2
    assert "no lab runs" in said


def test_the_recording_is_what_a_real_browser_asks_today(lab: Lab, entry_link: str) -> None:
    today, kept = record(lab.link_for("recorder"), watch=1.0), load_recording()
    opened = {row["url"] for row in (*today["page"], *today["notebook"])}
    recorded = {step.url for step in (*kept.page, *kept.notebook)}
    # Which of the late ones fall before the kernel's start is a matter of moments.
    assert len(opened ^ recorded) <= 0.1 * len(recorded), sorted(opened ^ recorded)
    # A server that is there at once shows no page to wait on, and one that comes soon leaves little time to load it.
    assert set(today["hub"]) <= set(kept.hub)
    assert {frame["msg_type"] for frame in today["frames"]} == {frame["msg_type"] for frame in kept.frames}
