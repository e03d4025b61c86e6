"""The lab's template: whom it answers, what its copies become, and what none of them can find in itself."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from earthlab.kernel import wire
from earthlab.kernel.forks import UNKNOWN, NoFork, ask_for_fork, ask_patiently, find_fork
from earthlab.kernel.identity import Identity, own_identity
from earthlab.kernel.process import read_start, wait_for_end
from earthlab.testing.copies import LIFE, ask_copy
from tests.kernel.running_kernel import BARE_TEMPLATE, PLANTED, start_bare_template
from tests.patience import PATIENCE, eventually

pytestmark = pytest.mark.lab

ROOT = os.getuid() == 0
NOBODY = Identity(uid=65534, gid=65534, bounds={"core": 0, "nproc": 200}) if ROOT else own_identity()
OTHER = Identity(uid=65533, gid=65533) if ROOT else own_identity()
BARE = {"PATH": os.environ["PATH"]}


@pytest.fixture(autouse=True, scope="module")
def anybodys_home(sockets):
    """A home in which every account may write."""
    home = sockets / "home"
    home.mkdir()
    home.chmod(0o777)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BARE, "HOME", str(home))
        yield


def ask(template, code, **words):
    return ask_copy(template.socket, code, **{"environment": BARE, **words})


def test_a_copy_has_the_identity_asked_for_before_any_code_of_its_user_runs(template):
    code = """
import os, resource
core = resource.getrlimit(resource.RLIMIT_CORE)
answer = [os.getresuid(), os.getresgid(), os.getgroups(), os.getsid(0) == os.getpid(), core]
"""
    uids, gids, groups, leads, core = ask(template, code, identity=NOBODY)
    assert uids == [NOBODY.uid] * 3
    assert gids == [NOBODY.gid] * 3
    assert groups == list(NOBODY.groups)
    assert leads
    if ROOT:
        assert core == [0, 0]


def test_a_copy_cannot_become_root_again(template):
    code = """
import os
answer = []
for attempt in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        attempt(); answer.append("done")
    except PermissionError:
        answer.append("refused")
"""
    assert ask(template, code, identity=NOBODY) == ["refused"] * 3


def test_a_copy_finds_the_environment_and_the_folder_of_its_sealed_file_and_no_other(template):
    told = ask(template, "import os; answer = [dict(os.environ), os.getcwd(), open('/proc/self/environ').read()]")
    environment, folder, start = told
    assert environment == BARE
    assert folder == "/"
    assert PLANTED not in start
    assert "JUPYTERHUB_API_TOKEN" not in start


def test_a_copy_holds_no_descriptor_but_its_own_and_files_to_read(template):
    code = """
import os, fcntl
answer = []
for name in os.listdir('/proc/self/fd'):
    try:
        mode = fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE
        answer.append([int(name), os.readlink(f'/proc/self/fd/{name}'), mode])
    except OSError: pass
"""
    for file, link, mode in ask(template, code, identity=NOBODY):
        if file > 2 and not link.startswith(("anon_inode:[pidfd]", "pidfd:")):
            assert link.endswith("proj.db"), link
            assert mode == os.O_RDONLY


def test_copies_that_read_the_same_file_do_not_share_its_position(template):
    code = """
import os
there = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]
files = [int(p.rpartition('/')[2]) for p in there if os.path.exists(p) and os.readlink(p).endswith('.db')]
answer = [os.lseek(f, 0, os.SEEK_CUR) for f in files]
for f in files: os.lseek(f, 4242, os.SEEK_SET)
"""
    ask(template, code)
    assert all(position != 4242 for position in ask(template, code))


def test_what_is_random_is_so_anew_in_each_copy(template):
    code = """
import random, uuid, multiprocessing, tempfile, numpy as np
answer = [random.random(), np.random.random(), str(uuid.uuid4()), str(uuid.uuid1()),
          multiprocessing.current_process().authkey.hex(), next(tempfile._get_candidate_names()),
          np.random.default_rng().random()]
"""
    ours, theirs = ask(template, code), ask(template, code)
    assert not set(ours) & set(theirs)


def test_a_copy_has_room_for_files_before_it_has_threads(template):
    code = """
from pathlib import Path
answer = int(Path("/proc/self/status").read_text().partition("FDSize:")[2].split()[0])
"""
    assert ask(template, code) == 256


def test_native_threads_and_dask_are_sized_by_the_cores_of_the_copy(template):
    code = """
import os, dask.system, dask.threaded, threadpoolctl
answer = [len(os.sched_getaffinity(0)), dask.threaded.CPU_COUNT, dask.system.CPU_COUNT,
          sorted({each["num_threads"] for each in threadpoolctl.threadpool_info()})]
"""
    cores, threaded, counted, pools = ask(template, code)
    assert cores == threaded == counted
    assert pools == [cores]
    assert ask(template, code, environment=BARE | {"OMP_NUM_THREADS": "1"})[3] == [1]


def test_an_affinity_is_respected(template):
    first = min(os.sched_getaffinity(0))
    code = "import os, subprocess, sys; answer = len(os.sched_getaffinity(0))"
    whole = os.sched_getaffinity(template.process.pid)
    os.sched_setaffinity(template.process.pid, {first})
    try:
        assert ask(template, code) == 1
        code = """
import dask.system, threadpoolctl
answer = [dask.system.CPU_COUNT, max(each["num_threads"] for each in threadpoolctl.threadpool_info())]
"""
        assert ask(template, code) == [1, 1]
    finally:
        os.sched_setaffinity(template.process.pid, whole)


def test_the_settings_of_its_user_are_read(template, tmp_path):
    for name, text in {
        ".config/matplotlib/matplotlibrc": "lines.linewidth: 7.5\n",
        ".config/matplotlib/stylelib/own.mplstyle": "lines.linewidth: 2.5\n",
        ".config/dask/own.yaml": "own:\n  answer: 42\n",
        ".config/zarr/own.yaml": "async:\n  concurrency: 3\n",
        ".config/fsspec/own.json": '{"memory": {"answer": 42}}',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code = """
import logging, jedi.settings, matplotlib as mpl, matplotlib.style, dask.config, zarr, fsspec.config
answer = [mpl.rcParams["lines.linewidth"], "own" in mpl.style.available, dask.config.get("own.answer", None),
          dask.config.get("array.slicing.split-large-chunks", "none"), zarr.config.get("async.concurrency"),
          fsspec.config.conf.get("memory"), mpl.get_configdir(), dask.config.get("distributed.version"),
          len(logging.getLogger("distributed").handlers), jedi.settings.cache_directory]
"""
    environment = BARE | {"HOME": str(tmp_path), "DASK_ARRAY__SLICING__SPLIT_LARGE_CHUNKS": "true"}
    line, style, own, split, zarr, fsspec, folder, *others = ask(template, code, environment=environment)
    assert (line, style, own, split, zarr) == (7.5, True, 42, True, 3)
    assert fsspec == {"answer": 42}
    assert folder == str(tmp_path / ".config" / "matplotlib")
    assert others == [2, 1, str(tmp_path / ".cache" / "jedi")]


def test_settings_that_nobody_has_changed_are_the_library_s_own(template):
    code = """
import matplotlib as mpl
own = mpl.rc_params()
# Its item would be chosen by the question.
answer = [name for name in own if dict.__getitem__(own, name) != dict.__getitem__(mpl.rcParams, name)]
"""
    assert ask(template, code) == []


def test_what_a_first_notebook_needs_is_worked_out_already(template):
    code = """
import sys
from earthlab.cube.kernels import lay_first, lay_under, look_up
from earthlab.catalog.profiles import find_profile
before = set(sys.modules)
from pystac import EXTENSION_HOOKS
answer = [
    [str(types[1].dtype) for types in lay_first.overloads],
    [len(lay_under.overloads), len(look_up.overloads)],
    EXTENSION_HOOKS._discovered,
    find_profile.__globals__["_shipped"].cache_info().currsize,
    sorted(set(sys.modules) - before),
]
"""
    laid, others, discovered, read, imported = ask(template, code)
    assert laid == ["uint8", "int16", "uint16", "float32"]
    assert others == [4, 1]
    assert discovered
    assert read == 1
    assert imported == []


@pytest.mark.parametrize(
    ("text", "found"), [("el.sear", "search"), ("xr.open_data", "open_dataset"), ("plt.imsh", "imshow")]
)
def test_the_first_completion_reads_no_module_that_the_template_has_read(template, text, found):
    code = f"""
import jedi, parso.cache
import earthlab as el, matplotlib.pyplot as plt, xarray as xr
def count():
    return sum(map(len, parso.cache.parser_cache.values()))
before = count()
names = [each.name for each in jedi.Interpreter({text!r}, [globals()]).complete()]
answer = [names, count() - before]
"""
    names, read = ask(template, code)
    assert found in names
    # What is typed is kept as well.
    assert read <= 1


def test_a_compiled_function_is_cached_where_its_user_may_write(template):
    code = """
import os
from earthlab.cube.kernels import lay_first
answer = os.access(lay_first._cache.cache_path, os.W_OK)
"""
    assert ask(template, code, identity=NOBODY, environment=BARE | {"NUMBA_CACHE_DIR": BARE["HOME"]})


def test_no_secret_of_one_user_is_in_the_memory_of_another(template):
    # Put together only there: the code itself is part of what is searched.
    halves = ("a-secret-of-", f"amina-{time.monotonic_ns()}")
    assert ask(
        template, "import os; answer = os.environ['TOKEN']", environment=BARE | {"TOKEN": "".join(halves)}
    ) == "".join(halves)
    code = f"""
import re
wanted = bytes(ord(c) for c in {halves[0]!r}) , {halves[1]!r}.encode(), {PLANTED[:8]!r}, {PLANTED[8:]!r}
found = []
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        span, rights = line.split()[:2]
        if "r" not in rights or "[v" in line: continue
        start, end = (int(x, 16) for x in span.split("-"))
        try:
            memory.seek(start); held = memory.read(end - start)
        except (OSError, ValueError): continue
        at = held.find(wanted[1])
        while at >= 0:
            if held[max(0, at - len(wanted[0])):at] == wanted[0]: found.append("user")
            at = held.find(wanted[1], at + 1)
        at = held.find(wanted[3].encode())
        while at >= 0:
            if held[max(0, at - 8):at] == wanted[2].encode(): found.append("hub")
            at = held.find(wanted[3].encode(), at + 1)
        del held
answer = found
"""
    assert ask(template, code, identity=OTHER) == []


def test_the_code_of_a_user_reaches_neither_the_template_nor_others(template, sockets):
    reader, writer = os.pipe()
    victim_content = {
        "environment": BARE | {"TOKEN": "of-another"},
        "folder": "/",
        "owner": os.getpid(),
        "code": "import sys, time; sys.stdout.write('up'); sys.stdout.flush(); time.sleep(30)",
    }
    victim = ask_for_fork(template.socket, "probe", OTHER, victim_content, streams=(writer, 2))
    os.close(writer)
    try:
        assert os.read(reader, 2) == b"up"
        code = f"""
import ctypes, os, signal, socket, sys
answer = {{}}
def attempt(name, act):
    try:
        answer[name] = repr(act())
    except OSError as exc:
        answer[name] = type(exc).__name__
def connect():
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect({str(template.socket)!r})
    return line.send(b"{{}}") and line.recv(100)
attempt("template's socket", connect)
for who, pid in (("template", {template.process.pid}), ("other", {victim.pid})):
    attempt(who + " signal", lambda: os.kill(pid, signal.SIGTERM))
    attempt(who + " environment", lambda: open(f"/proc/{{pid}}/environ").read())
    attempt(who + " memory", lambda: open(f"/proc/{{pid}}/mem", "rb").read(1))
    attempt(who + " descriptors", lambda: os.listdir(f"/proc/{{pid}}/fd"))
    attempt(who + " sealed file", lambda: open(f"/proc/{{pid}}/fd/3").read())
    def take(number):
        handle = os.pidfd_open(pid)
        libc = ctypes.CDLL(None, use_errno=True)
        got = libc.syscall(438, handle, number, 0)
        if got < 0: raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return got
    attempt(who + " take a descriptor", lambda: take(0))
    def trace():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, pid, 0, 0): raise OSError(ctypes.get_errno(), "ptrace")
    attempt(who + " trace", trace)
"""
        told = ask(template, code, identity=NOBODY)
        if ROOT:
            assert set(told.values()) <= {"PermissionError", "ConnectionResetError"}, told
        assert victim.poll() is None
    finally:
        victim.close()
        os.close(reader)


CALLER = """
import os, socket, sys
if len(sys.argv) > 2:
    os.setresuid(*3 * [int(sys.argv[2])])
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.settimeout(120)
try:
    line.connect(sys.argv[1])
    line.send(b'{"life": "nothing"}')
    print(line.recv(100))
except OSError:
    print("closed")
"""


def hear(template, *words, before=()):
    command = [*before, sys.executable, "-S", "-c", CALLER, str(template.socket), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_owner_s_own_processes_are_answered(template):
    assert "cannot be understood" in hear(template)


def test_another_process_of_the_same_account_is_not_answered(template):
    # Two shells stand between: what the second one starts is no grandchild of the owner's.
    shell = ["sh", "-c", '"$@"; true', "sh"]
    assert hear(template, before=[*shell, *shell]) in {"closed", "b''"}


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_process_of_another_account_is_not_answered_though_the_owner_has_started_it(template):
    template.socket.chmod(0o666)
    try:
        assert hear(template, str(NOBODY.uid)) in {"closed", "b''"}
    finally:
        template.socket.chmod(0o600)


def test_the_marks_of_a_copy_stand_where_leftovers_are_looked_for(template):
    code = """
from pathlib import Path
from earthlab.kernel.process import show_environment
show_environment(["MINE", "MISSING", "LONG", "LAST"])
answer = Path("/proc/self/environ").read_bytes().rstrip(bytes(1)).decode().split(chr(0))
"""
    environment = BARE | {"MINE": "é 1", "LAST": "2"}
    assert ask(template, code, environment=environment) == ["MINE=é 1", "LAST=2"]
    assert ask(template, code, environment=environment | {"LONG": "x" * 10000}) == ["MINE=é 1"]


@pytest.mark.parametrize(
    ("life", "identity", "reason"),
    [
        ("nothing", {}, "cannot be understood"),
        ("probe", {"uid": "x"}, "cannot be understood"),
        ("probe", {"bounds": {"x": 1}}, "unknown bounds"),
    ],
)
def test_a_request_that_cannot_be_understood_is_refused(template, life, identity, reason):
    line = wire.connect_to(template.socket, 5)
    sealed = wire.seal({})
    with line:
        wire.send(line, {"life": life, "identity": own_identity().to_dict() | identity}, [sealed])
        assert reason in wire.receive(line)[0]["refused"]
    os.close(sealed)


def test_nonsense_on_the_line_does_not_disturb_the_template(template):
    for nonsense in (b"", b"x", b"[]", b"[" * 60000, b"{}"):
        line = wire.connect_to(template.socket, 5)
        with line:
            line.send(nonsense)
    assert ask(template, "answer = 42") == 42


def test_the_end_of_the_connection_is_the_end_of_the_copy_and_of_what_it_has_started(template, tmp_path):
    reader, writer = os.pipe()
    content = {
        "environment": BARE,
        "folder": "/",
        "owner": os.getpid(),
        "code": "import subprocess as s, time; print(s.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)",
    }
    copy = ask_for_fork(template.socket, "probe", own_identity(), content, streams=(writer, 2))
    os.close(writer)
    child = int(os.read(reader, 20))
    handles = [os.dup(copy.handle), os.pidfd_open(child)]
    copy.close()
    assert all(wait_for_end(handle, PATIENCE) for handle in handles)
    for file in (*handles, reader):
        os.close(file)


def test_a_copy_that_may_stay_outlives_the_connection_and_is_found_again_by_pid_and_start(template):
    content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": "import time; time.sleep(60)"}
    copy = ask_for_fork(template.socket, "probe", own_identity(), content)
    pid, start = copy.pid, read_start(copy.pid)
    copy.let_stay()
    copy.close()
    # What the template is told next it has heard after that.
    assert ask(template, "answer = 42") == 42
    assert find_fork(pid, start + 1) is None
    found = find_fork(pid, start)
    assert found.poll() is None
    found.signal_group(signal.SIGKILL)
    assert found.wait(PATIENCE) == UNKNOWN
    found.close()
    assert find_fork(pid, start) is None


def test_a_copy_that_may_stay_tells_how_it_ended_and_ends_with_its_owner(template):
    owner = subprocess.Popen(["sleep", "60"])
    code = "import time; print('here', flush=True); time.sleep(60)"
    content = {"environment": BARE, "folder": "/", "owner": owner.pid, "code": code}
    reader, writer = os.pipe()
    copy = ask_for_fork(template.socket, "probe", own_identity(), content, streams=(writer, 2))
    assert os.read(reader, 20) == b"here\n"
    copy.let_stay()
    owner.kill()
    owner.wait()
    assert copy.wait(PATIENCE) == -signal.SIGTERM
    copy.close()
    for file in (reader, writer):
        os.close(file)


def test_how_a_copy_ended_is_told(template):
    def run(code):
        content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": code}
        copy = ask_for_fork(template.socket, "probe", own_identity(), content)
        ended = copy.wait(PATIENCE)
        copy.close()
        return ended

    assert run("code = 3") == 3
    assert run("raise SystemExit(5)") == 5
    assert run("raise ValueError") == 1
    assert run("import os; os._exit(7)") == 7
    assert run("import os; os.abort()") == -signal.SIGABRT


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_copies_outlive_their_template_and_end_with_their_owner(sockets, sent):
    owner = subprocess.Popen(["sleep", "60"])
    service = start_bare_template(sockets / f"own{sent}.sock")
    content = {"environment": BARE, "folder": "/", "owner": owner.pid, "code": "import time; time.sleep(60)"}
    copy = ask_for_fork(service.socket, "probe", own_identity(), content, seconds=60)
    service.process.send_signal(sent)
    service.process.wait(PATIENCE)
    time.sleep(0.3)
    assert copy.poll() is None
    with pytest.raises(NoFork, match="no template answers"):
        ask_for_fork(service.socket, "probe", own_identity(), content)
    owner.kill()
    owner.wait()
    assert copy.wait(PATIENCE) == 1
    copy.close()
    service.stop()


def test_a_template_ends_with_its_owner_and_ends_its_copies(sockets):
    code = """
import os, subprocess, sys, time
from pathlib import Path
from earthlab.kernel.forks import ask_for_fork
from earthlab.kernel.identity import own_identity
from earthlab.kernel.wire import connect_to
socket = Path(sys.argv[1])
template = subprocess.Popen([sys.executable, "-P", "-c", sys.argv[3], socket, sys.argv[2], str(os.getpid()), ""])
while True:
    try:
        connect_to(socket, 60).close()
        break
    except OSError:
        time.sleep(0.05)
content = {"environment": {}, "folder": "/", "owner": 1, "code": "import time; time.sleep(60)"}
copy = ask_for_fork(socket, "probe", own_identity(), content)
print(template.pid, copy.pid, flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(sockets / "owned.sock"), LIFE, BARE_TEMPLATE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    handles = [os.pidfd_open(int(pid)) for pid in owner.stdout.readline().split()]
    owner.communicate("")
    assert len(handles) == 2
    assert all(wait_for_end(handle, PATIENCE) for handle in handles)
    for handle in handles:
        os.close(handle)


def test_a_stale_template_says_so_and_ends_while_its_copies_go_on(sockets):
    service = start_bare_template(sockets / "stale.sock", stale="it is older than what is installed")
    content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": ""}
    with pytest.raises(NoFork, match="refuses: it is older"):
        ask_for_fork(service.socket, "probe", own_identity(), content)
    assert service.process.wait(PATIENCE) == 0
    service.stop()


@pytest.mark.parametrize("mishap", ["os.kill(os.getpid(), 9)", "raise OSError"])
def test_a_copy_of_which_nobody_was_told_never_begins(sockets, mishap):
    """Whoever asked puts a process of their own in its place."""
    template = start_bare_template(sockets / "mute.sock", mishap=f"def send(*_): {mishap}\nwire.send = send")
    reader, writer = os.pipe()
    content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": "print('begun', flush=True)"}
    with os.fdopen(reader) as lines:
        with os.fdopen(writer, "w") as end, pytest.raises(NoFork):
            ask_for_fork(template.socket, "probe", own_identity(), content, streams=(end.fileno(), 2), seconds=2)
        assert lines.read() == ""
    template.stop()


def test_a_copy_of_which_somebody_was_told_begins_though_its_template_is_killed_then(sockets):
    dying = "tell = wire.send\ndef send(*told):\n    tell(*told)\n    os.kill(os.getpid(), 9)\nwire.send = send"
    template = start_bare_template(sockets / "dying.sock", mishap=dying)
    content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": "print('begun', flush=True)"}
    reader, writer = os.pipe()
    with os.fdopen(reader) as lines:
        with os.fdopen(writer, "w") as end:
            streams = (end.fileno(), 2)
            copy = ask_for_fork(template.socket, "probe", own_identity(), content, streams=streams, seconds=PATIENCE)
        assert lines.readline() == "begun\n"
    assert copy.wait(PATIENCE) == UNKNOWN
    copy.close()
    template.stop()


def test_a_copy_that_cannot_be_held_is_ended_and_refused_and_the_template_goes_on(sockets):
    mishap = "def pidfd_open(_): raise OSError(24, 'Too many open files')\nos.pidfd_open = pidfd_open"
    template = start_bare_template(sockets / "full.sock", mishap=mishap)
    content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": "import time; time.sleep(60)"}
    for _ in range(2):
        with pytest.raises(NoFork, match=r"refuses: no process can be made \(Too many open files\)"):
            ask_for_fork(template.socket, "probe", own_identity(), content)
    assert not Path(f"/proc/{template.process.pid}/task/{template.process.pid}/children").read_text()
    template.stop()


def ask_patiently_for(socket, code, streams=()):
    content = {"environment": BARE, "folder": "/", "owner": os.getpid(), "code": code}
    return ask_patiently(socket, "probe", own_identity(), content, streams=streams)


def test_who_asks_patiently_is_answered_by_a_template_that_starts_meanwhile(sockets):
    async def ask_too_early():
        asked = asyncio.create_task(ask_patiently_for(sockets / "late.sock", "code = 7"))
        await asyncio.sleep(0.5)
        assert not asked.done()
        return await asyncio.to_thread(start_bare_template, sockets / "late.sock"), await asked

    template, copy = asyncio.run(ask_too_early())
    assert copy.wait(PATIENCE) == 7
    copy.close()
    template.stop()


def test_patience_ends_where_no_template_listens(sockets):
    began = time.monotonic()
    with pytest.raises(NoFork, match=r"no template answers at .*nobody\.sock"):
        asyncio.run(ask_patiently_for(sockets / "nobody.sock", ""))
    assert 3 <= time.monotonic() - began < 60


def open_sockets_and_pipes():
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add((link.name, str(link.readlink())))
    return {(number, kind) for number, kind in found if kind.startswith(("socket:", "pipe:"))}


def test_who_stops_waiting_leaves_no_descriptor_and_no_copy(sockets):
    """The stream may be closed, and its number be another file's, before a template gets it."""
    template = start_bare_template(sockets / "slow.sock")
    os.kill(template.process.pid, signal.SIGSTOP)
    reader, writer = os.pipe()
    before = open_sockets_and_pipes()

    async def give_up():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask_patiently_for(sockets / "slow.sock", "import time; time.sleep(60)", [writer])

    asyncio.run(give_up())
    os.close(writer)
    os.kill(template.process.pid, signal.SIGCONT)
    with os.fdopen(reader, "rb") as lines:
        # It ends when nobody holds the other end any more: neither we nor a copy.
        assert select.select([lines], [], [], 20)[0]
        assert lines.read() == b""
    eventually(lambda: open_sockets_and_pipes() <= before, what="descriptors that were held are closed")
    children = Path(f"/proc/{template.process.pid}/task/{template.process.pid}/children")
    # A copy that has ended is one until the template has taken note of it.
    eventually(lambda: not children.read_text(), what="the copy, if there was one, is gone")
    template.stop()
