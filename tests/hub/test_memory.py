"""Free memory as Linux says it, and within a control group that is bounded."""

from pathlib import Path

import psutil
import pytest

from earthlab.hub import memory
from earthlab.kernel.groups import Group


def test_what_is_free_is_never_more_than_the_machine_has_available():
    free = memory.read_free_memory()
    assert 0 < free <= psutil.virtual_memory().available * 1.05


def bounded(folder: Path, *, limit: str, used: int, idle: int) -> None:
    """A group of version 2, as its files say it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {idle}\n")
    (folder / "memory.events").write_text("oom_kill 0\n")


@pytest.mark.parametrize(("above", "free"), [("max\n", 60), ("100\n", 45), ("70\n", 15)])
def test_the_tightest_bound_above_us_counts_and_files_that_nobody_uses_count_as_free(
    tmp_path, monkeypatch, above, free
):
    bounded(tmp_path / "lab", limit=above, used=60, idle=5)
    bounded(tmp_path / "lab" / "hub", limit="100\n", used=50, idle=10)
    own = Group(2, {"memory": tmp_path / "lab" / "hub"})
    monkeypatch.setattr(memory, "own_group", lambda: own)
    assert memory.read_free_memory() == free


def test_where_no_group_is_bounded_the_machine_decides(monkeypatch):
    monkeypatch.setattr(memory, "own_group", lambda: None)
    assert memory.read_free_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
