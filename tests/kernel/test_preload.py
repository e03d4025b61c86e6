"""What a template must not have brought from its imports, and what has changed since them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from earthlab.kernel.preload import Software, plan_template_environment

PROGRAM = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from earthlab.kernel.preload import preload
found = preload(["imported"])
print(json.dumps([os.readlink(f"/proc/self/fd/{file}") for file in found.kept]), flush=True)
os._exit(0)
"""

LEAVES = {
    "a thread": "import threading as t, time; t.Thread(None, time.sleep, 'idler', (9,), daemon=True).start()",
    "a native thread": "import _thread, time; _thread.start_new_thread(time.sleep, (9,)); time.sleep(0.1)",
    "a socket": "import socket; held = socket.socket()",
    "a file to write to": "import os; held = open(os.path.join(os.path.dirname(__file__), 'log'), 'a')",
    "a pipe": "import os; held = os.pipe()",
}
SAYS = {"a thread": "idler", "a native thread": "1 native threads", "a socket": "socket:", "a pipe": "pipe:"}


def import_in_a_template(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    (folder / "home").mkdir()
    (folder / "imported.py").write_text(code)
    environment = plan_template_environment(os.environ, str(folder / "home"))
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("what", LEAVES)
def test_what_copies_could_not_share_is_refused_and_named(tmp_path, what):
    done = import_in_a_template(tmp_path, LEAVES[what])
    assert done.returncode == 1
    assert "SetupError: template: " in done.stderr
    assert SAYS.get(what, "/log") in done.stderr


def test_files_to_read_are_kept_and_the_home_is_gone(tmp_path):
    done = import_in_a_template(tmp_path, "import os; held = os.open(__file__, os.O_RDONLY)")
    assert str(tmp_path / "imported.py") in json.loads(done.stdout)
    assert "is ready" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_template_knows_neither_tokens_nor_what_changes_python():
    told = {
        "PATH": "/bin",
        "JUPYTERHUB_API_TOKEN": "x",
        "PYTHONPATH": "/own",
        "PYTHONSTARTUP": "/own",
        "LD_PRELOAD": "x",
    }
    kept = plan_template_environment(told, "/home")
    assert kept["PATH"] == "/bin"
    assert kept["HOME"] == "/home"
    assert not kept.keys() & (told.keys() - {"PATH"})


FAULTS = """
import resource
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for size in (2**20, 3 * 2**20):
    np.ones(size, "uint8")
    before = faults()
    for _ in range(50):
        np.ones(size, "uint8")
    print(faults() - before)
"""


def test_arrays_of_a_few_megabytes_use_again_the_memory_of_those_before(tmp_path):
    environment = plan_template_environment(os.environ, str(tmp_path))
    done = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    # One array alone is of hundreds of pages.
    assert max(map(int, done.stdout.split())) < 100


@pytest.fixture
def module(tmp_path, monkeypatch):
    file = tmp_path / "earthlab_probe.py"
    file.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    found = type(sys)("earthlab.probe")
    found.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "earthlab.probe", found)
    return file


def test_software_that_stays_as_it_is_makes_no_template_stale(module):
    software = Software()
    software.note()
    assert software.change() == ""


@pytest.mark.parametrize("act", [lambda file: os.utime(file, (1, 1)), Path.unlink])
def test_software_that_changes_after_its_import_is_named(module, act):
    software = Software()
    software.note()
    act(module)
    assert software.change() == f"it is older than {module}"


def test_software_that_changes_while_it_is_imported_is_named_too(module):
    software = Software(since=0)
    software.files = {}
    software.note()
    assert software.changed.startswith("it is older than ")


def test_a_change_is_looked_for_once_a_second_at_most(module):
    software = Software()
    software.note()
    assert software.change() == ""
    os.utime(module, (1, 1))
    assert software.change() == ""
