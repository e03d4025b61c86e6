"""What a kernel does where memory ends, in IPython as it is and in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from earthlab.hub.parts import read_memory
from earthlab.kernel.memory import (
    KERNEL,
    NEXT_STEPS,
    SERVER,
    MachineMemory,
    explain_memory_errors,
    parse_meminfo,
    read_machine_memory,
)
from tests.kernel.running_kernel import fork_nursery, notebook
from tests.patience import PATIENCE, eventually


@pytest.fixture
def shell():
    shell = InteractiveShell()
    explain_memory_errors(shell)
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    "code", ["raise MemoryError('no room')", "import numpy; numpy.ones(2**57)", "bytearray(2**62)"]
)
def test_a_memory_error_of_the_users_code_ends_with_the_next_steps(shell, capsys, code):
    result = shell.run_cell(code)
    assert isinstance(result.error_in_exec, MemoryError)
    said = capsys.readouterr().out
    assert "Traceback" in said
    assert said.rstrip().endswith(NEXT_STEPS.splitlines()[-1])
    assert said.index("Que faire") < said.index("What to do")


def test_the_next_steps_are_said_once_when_the_same_error_is_raised_again(shell, capsys):
    shell.run_cell("error = MemoryError('no room')")
    shell.run_cell("raise error")
    capsys.readouterr()
    shell.run_cell("raise error")
    assert capsys.readouterr().out.count("Que faire") == 1


def test_other_errors_are_shown_as_ever(shell, capsys):
    shell.run_cell("1 / 0")
    said = capsys.readouterr().out
    assert "ZeroDivisionError" in said
    assert "Que faire" not in said


def test_kernels_go_before_servers_and_both_before_the_hub():
    hub = int(Path("/proc/self/oom_score_adj").read_text())
    assert _scores(f"go_first({SERVER}); show(); go_first({KERNEL}); show()") == [max(hub, SERVER), max(hub, KERNEL)]
    assert hub < SERVER < KERNEL


def test_who_goes_first_already_is_not_put_back():
    assert _scores(f"go_first({KERNEL}); go_first({SERVER}); show()") == [KERNEL]


def _scores(script: str) -> list[int]:
    show = "show = lambda: print(open('/proc/self/oom_score_adj').read().strip())"
    return _numbers(f"from earthlab.kernel.memory import go_first\n{show}\n{script}")


def _numbers(script: str) -> list[int]:
    """What a script prints, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
def test_a_kernel_that_rests_gives_back_what_its_cells_have_freed(home, template):
    nursery = fork_nursery(template.socket, home, parked=0)
    with notebook(home / "runtime") as book:

        def private() -> int:
            return read_memory(book.process.pid).private

        book.run("import earthlab.kernel.app as app; app.IDLE = 3600")
        # What lies at the end keeps the rest from going back by itself.
        book.run("held = [bytes(1000) for _ in range(100_000)]; last = bytes(1000); del held")
        before = private()
        book.run("app.IDLE = 0.1")
        eventually(lambda: private() < before - 80e6, what="100 MB that go back")
        assert book.run("print(len(last))").text == "1000\n"
    nursery.close()


GAPS = """
from earthlab.kernel.memory import fill_gaps

def pages(objects):
    return len({id(each) // 4096 for each in objects})

per_page = 4096 // SIZE
held = [MADE for n in range(2000 * per_page)]
del held[::per_page]
among_gaps = pages([MADE for n in range(1500)])
fill_gaps()
print(among_gaps, pages([MADE for n in range(1500)]))
"""


@pytest.mark.parametrize(
    ("size", "made"), [(16, "object()"), (32, "1000 + n"), (48, "bytes(15)"), (64, "bytes(31)"), (512, "bytes(479)")]
)
def test_objects_that_are_made_after_the_gaps_are_filled_lie_side_by_side(size: int, made: str):
    among_gaps, filled = _numbers(GAPS.replace("SIZE", str(size)).replace("MADE", made))
    assert among_gaps > 1000
    assert filled < 1.5 * (1500 * size / 4096) + 3


def test_the_machine_s_memory_is_read_in_bytes():
    said = "MemTotal: 4096 kB\nMemFree: 7 kB\nMemAvailable:    2048 kB\nHugePages_Total:       0\n"
    assert parse_meminfo(said) == MachineMemory(total=4 * 2**20, available=2 * 2**20)
    assert 0 < read_machine_memory().available <= read_machine_memory().total


def test_a_machine_that_does_not_say_its_memory_is_no_machine_of_ours():
    with pytest.raises(ValueError, match="no MemAvailable"):
        parse_meminfo("MemTotal: 9 kB\n")


AT_REST = """
import time
from pathlib import Path
from earthlab.kernel.memory import trim_at_rest

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

trim_at_rest(every=0.05)
# Every second one goes, and none of the holes between the others is one that the C library would give back by itself.
blocks = [bytearray(60_000) for _ in range(1000)]
del blocks[::2]
held, until = resident(), time.monotonic() + PATIENCE
while resident() > held - 20_000_000 and time.monotonic() < until:
    time.sleep(0.05)
print(held - resident(), sum(map(len, blocks)))
"""


def test_a_process_that_rests_after_work_gives_back_what_it_has_freed():
    given_back, kept = _numbers(f"PATIENCE = {PATIENCE}" + AT_REST)
    assert given_back > 20_000_000
    assert kept == 500 * 60_000
