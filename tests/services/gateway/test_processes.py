import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from earthlab.hub.accounts import Account
from earthlab.services.gateway.processes import Place, kill_marked, marked_processes, start_process, stop_process
from tests.patience import eventually_async

MARK = f"EARTHLAB_TEST_MARK={os.getpid()}"
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def me(tmp_path):
    return Account("me", os.getuid(), os.getgid(), tmp_path)


def environ(**more):
    name, value = MARK.split("=")
    return {"PATH": os.environ["PATH"], name: value, **more}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def start(me, tmp_path, command=SLEEPER, **more):
    return await start_process(command, Place(environ(**more), tmp_path, tmp_path / "x.log", me))


async def test_a_process_is_given_its_environment_and_nothing_else(me, tmp_path):
    process = await start(me, tmp_path, [sys.executable, "-c", "import os; print(sorted(os.environ))"])
    await process.wait()
    seen = (tmp_path / "x.log").read_text()
    assert "EARTHLAB_TEST_MARK" in seen
    assert "PYTEST_CURRENT_TEST" not in seen


async def test_an_existing_log_is_not_written_over(me, tmp_path):
    (tmp_path / "x.log").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        await start(me, tmp_path)
    assert not (tmp_path / "precious").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
async def test_a_process_of_another_account_has_none_of_our_rights(tmp_path):
    asked = "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), oct(os.umask(0)))"
    nobody = Account("nobody", 65534, 65534, tmp_path)
    process = await start_process(
        [sys.executable, "-I", "-c", asked], Place(environ(), Path("/"), tmp_path / "x.log", nobody)
    )
    await process.wait()
    assert (tmp_path / "x.log").read_text().strip() == f"{(65534,) * 3} {(65534,) * 3} [65534] 0o77"


async def test_stopping_ends_the_whole_group_even_where_it_will_not(me, tmp_path):
    stubborn = (
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
    )
    process = await start(me, tmp_path, [sys.executable, "-c", stubborn])
    log = tmp_path / "x.log"
    await eventually_async(lambda: log.read_text().endswith("\n"))
    await stop_process(process, patience=0.1)
    assert process.returncode == -9
    await eventually_async(lambda: not alive(int(log.read_text())))


async def test_stopping_what_is_already_gone_is_no_fault(me, tmp_path):
    process = await start(me, tmp_path, [sys.executable, "-c", ""])
    await process.wait()
    await stop_process(process, patience=0.1)


def test_a_process_ends_when_its_starter_is_killed(tmp_path):
    starter = (
        "import asyncio, os, sys, time; from pathlib import Path; from earthlab.hub.accounts import Account; "
        "from earthlab.services.gateway.processes import Place, start_process; here = Path(sys.argv[1]); "
        "me = Account('me', os.getuid(), os.getgid(), here); "
        "s = start_process(['sleep', '60'], Place(dict(os.environ), here, here / 'l', me)); "
        "p = asyncio.run(s); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starter, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    asyncio.run(eventually_async(lambda: not alive(child)))


async def test_processes_are_found_by_all_their_marks(me, tmp_path):
    process = await start(me, tmp_path, OTHER="1")
    try:
        assert process.pid in set(marked_processes(MARK, "OTHER"))
        assert process.pid not in set(marked_processes(MARK, "OTHER=2"))
        assert os.getpid() not in set(marked_processes("PATH"))
    finally:
        await stop_process(process, patience=0)


async def test_killing_by_mark_reaches_what_has_left_its_session(me, tmp_path):
    escape = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"
    process = await start(me, tmp_path, [sys.executable, "-c", escape])
    await process.wait()
    log = tmp_path / "x.log"
    await eventually_async(lambda: log.read_text().endswith("\n"))
    assert kill_marked(MARK) >= 1
    await eventually_async(lambda: not alive(int(log.read_text())))
