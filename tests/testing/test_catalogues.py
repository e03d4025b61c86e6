"""The catalogue that tests share: one build for all who ask, whole, of what there is now, and as a build leaves it."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import earthlab
from earthlab.services.stac.archive import Holdings, build_catalogue
from earthlab.services.stac.constructed import CONSTRUCTED
from earthlab.services.stac.folder import read_report
from earthlab.testing.catalogues import ROOMS, bring_catalogue, build_apart, copy_catalogue
from tests.patience import PATIENCE

pytest_plugins = ["pytester"]

SMALL = Holdings((), tuple(made for made in CONSTRUCTED if made.collection == "simulation-coastal-sectors"))

# Notes that it builds, and takes its time.
ASKS = """
import sys, time
from pathlib import Path
from earthlab.testing.catalogues import copy_catalogue

def build(folder):
    with open(sys.argv[3], "a") as log:
        log.write("built\\n")
    folder.mkdir()
    (folder / "first").write_text("1")
    time.sleep(float(sys.argv[4]))
    (folder / "last").write_text("2")

copy_catalogue(Path(sys.argv[1]), Path(sys.argv[2]), build=build)
"""

LOADS = """
import json, sys
import earthlab.services.stac.archive
files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "earthlab"]
print(json.dumps(files))
"""


@pytest.fixture
def asking(tmp_path, bare_environment):
    """Processes that ask, one for each number; and how often something has been built."""
    log = tmp_path / "log"

    def ask(number: int, seconds: float = 1.0):
        words = [tmp_path / "kept", tmp_path / f"copy-{number}", log, seconds]
        return subprocess.Popen([sys.executable, "-c", ASKS, *map(str, words)])

    def builds() -> int:
        return len(log.read_text().splitlines()) if log.exists() else 0

    return ask, builds


def build_small(folder: Path) -> None:
    build_catalogue(folder, lambda *_: None, holdings=SMALL)


def listing(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """What a build leaves: kind and mode bits, owner, group and content, by path."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_uid, facts.st_gid, content)
    return found


def test_a_copy_is_the_build_to_the_last_bit_and_shares_no_file_with_it(tmp_path, bare_environment):
    before = os.umask(0o077)
    try:
        copy_catalogue(tmp_path / "kept", copied := tmp_path / "copy", build=build_small)
    finally:
        os.umask(before)
    kept = tmp_path / "kept" / "catalogue"
    assert read_report(copied).items
    assert listing(copied) == listing(kept)
    assert stat.S_IMODE(copied.stat().st_mode) == 0o755
    assert not any(path.samefile(kept / path.relative_to(copied)) for path in copied.rglob("*"))


def test_of_two_processes_one_builds_and_both_have_all_of_it(tmp_path, asking):
    ask, builds = asking
    both = [ask(1), ask(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    assert builds() == 1
    for number in (1, 2):
        assert sorted(path.name for path in (tmp_path / f"copy-{number}").iterdir()) == ["first", "last"]


def test_what_a_killed_process_has_begun_is_no_catalogue(tmp_path, asking):
    ask, builds = asking
    killed = ask(1, seconds=600)
    until = time.monotonic() + PATIENCE
    while not list(tmp_path.glob(".kept.building-*/kept/catalogue/first")):
        assert time.monotonic() < until
        time.sleep(0.05)
    killed.kill()
    killed.wait(PATIENCE)
    assert not (tmp_path / "kept").exists()
    assert ask(2, seconds=0).wait(PATIENCE) == 0
    assert builds() == 2
    assert (tmp_path / "copy-2" / "last").exists()
    assert not list(tmp_path.glob(".kept.building-*"))


def test_it_is_built_anew_where_a_sample_has_changed_and_only_there(tmp_path, bare_environment, monkeypatch):
    samples = tmp_path / "samples"
    samples.mkdir()
    monkeypatch.setenv("EARTHLAB_SAMPLES", str(samples))
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        folder.mkdir()

    for number in (1, 2):
        copy_catalogue(tmp_path / "kept", tmp_path / f"same-{number}", build=build)
    assert len(built) == 1
    (samples / "new.csv").write_text("a")
    copy_catalogue(tmp_path / "kept", tmp_path / "other", build=build)
    assert len(built) == 2
    (samples / "new.csv").write_text("longer")
    copy_catalogue(tmp_path / "kept", tmp_path / "another", build=build)
    assert len(built) == 3


def test_what_is_built_of_other_sources_is_not_taken(tmp_path, bare_environment):
    (tmp_path / "kept" / "catalogue").mkdir(parents=True)
    (tmp_path / "kept" / "fingerprint").write_text("0" * 64)
    copy_catalogue(tmp_path / "kept", tmp_path / "copy", build=build_small)
    assert read_report(tmp_path / "copy").items


def test_every_source_that_builds_it_is_looked_at():
    told = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)
    loaded = [Path(file) for file in json.loads(told.stdout)]
    assert len(loaded) > 100
    root = Path(earthlab.__file__).parent
    places = [root / "services" / "__init__.py", *(place for room in ROOMS for place in root.glob(room))]
    assert [file for file in loaded if not any(file.is_relative_to(place) for place in places)] == []


@pytest.mark.parametrize(("words", "kept"), [((), True), (("-p", "no:cacheprovider"), False)])
def test_it_is_kept_in_pytests_cache_where_there_is_one(pytester, tmp_path, words, kept):
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    config = pytester.parseconfigure(*words)
    for number in (1, 2):
        (tmp_path / f"lab-{number}").mkdir()
        bring_catalogue(config, tmp_path / f"lab-{number}", build=build_small)
        assert read_report(tmp_path / f"lab-{number}" / "catalogue").items
    assert bool(list(pytester.path.glob(".pytest_cache/d/*/kept/catalogue/COMPLETE"))) == kept


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path, bare_environment):
    (tmp_path / "file").touch()
    with pytest.raises(AssertionError, match=r"The catalogue cannot be built in .*file/catalogue"):
        copy_catalogue(
            tmp_path / "kept", tmp_path / "copy", build=lambda _: build_apart(tmp_path / "file" / "catalogue")
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == [".kept.lock", "file"]
