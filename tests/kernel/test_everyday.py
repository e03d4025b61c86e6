"""What a notebook does with its kernel works the same in an ordinary kernel, a forked one and one made ready before."""

import json
import os
import re
import signal
import time
import zipfile
from pathlib import Path

import pytest

from earthlab.kernel.forks import ForkedProcess
from earthlab.kernel.provisioner import NURSERY
from tests.hub.conftest import root_only
from tests.kernel.debug_clients import is_let_in
from tests.kernel.running_kernel import fork_nursery, notebook, wait_for_parked
from tests.patience import PATIENCE

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module", params=["ordinary", "forked", "parked"])
def kind(request, home, template):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "ordinary":
            patch.delenv(NURSERY)
            yield request.param
            return
        parked = int(request.param == "parked")
        nursery = fork_nursery(template.socket, home, parked)
        if parked:
            wait_for_parked(home)
        yield request.param
        nursery.close()


@pytest.fixture(scope="module")
def book(kind, home):
    """One kernel of each kind, in which the tests follow each other like cells."""
    (home / "work").mkdir(exist_ok=True)
    with notebook(home / "runtime", cwd=str(home / "work")) as opened:
        yield opened


def test_the_kernel_is_of_the_kind_asked_for(book, kind):
    assert isinstance(book.process, ForkedProcess) == (kind != "ordinary")
    name = Path(f"/proc/{book.process.pid}/comm").read_text().strip()
    assert name == ("el-kernel" if kind != "ordinary" else "python")
    # One that waited beforehand has waited longer than its client has been there.
    assert not list(Path(book.manager.connection_file).parent.parent.glob("parked-*")) or kind != "forked"


def test_el_is_there_and_none_of_the_users_names(book):
    assert (
        book.run("print(el.__name__, 'el' in dir())\n%who").text == "earthlab True\nInteractive namespace is empty.\n"
    )


def test_the_folder_and_the_environment_are_those_of_the_notebook(book, home):
    told = json.loads(
        book.run("import json, os, sys; print(json.dumps([os.getcwd(), dict(os.environ), sys.argv]))").text
    )
    folder, environment, arguments = told
    assert folder == str(home / "work")
    assert environment["HOME"] == str(home)
    assert environment["PANEL_INLINE"] == "1"
    assert environment["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
    assert "OPENBLAS_NUM_THREADS" not in environment
    assert arguments[1:] == ["-f", book.manager.connection_file]
    assert arguments[0].endswith("earthlab/kernel/__main__.py")


def test_a_plot_is_drawn_into_the_notebook(book):
    said = book.run("import matplotlib.pyplot as plt\nfig = plt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.show()")
    assert not said.error
    assert ["image/png" in data for data in said.data] == [True]
    assert "image/png" in book.run("plt.plot([2, 1]);").data[0]


def test_a_widget_opens_a_channel(book):
    said = book.run("import ipywidgets; slider = ipywidgets.IntSlider(3); slider")
    assert not said.error
    assert "application/vnd.jupyter.widget-view+json" in said.data[0]


def test_input_asks_the_user(book):
    assert book.run("print(input('who? ')[::-1])", typed="anima").text == "amina\n"


def test_an_error_is_explained_with_its_lines_and_without_a_walk_through_all_modules(book):
    book.run("import inspect, json\nknown = len(inspect.modulesbyfile)")
    said = book.run("def parse(text):\n    return json.loads(text)\nparse('{')")
    told = re.sub(r"\x1b\[[0-9;]*m", "", said.traceback)
    assert said.error.startswith("JSONDecodeError")
    assert "----> 3 parse('{')" in told
    assert "----> 2     return json.loads(text)" in told
    assert "json/decoder.py" in told
    assert "IPython" not in told
    assert book.run("print(len(inspect.modulesbyfile) - known)").text == "0\n"
    book.run("del inspect, json, known, parse")


def test_an_interrupt_ends_a_cell_and_not_the_kernel(book):
    book.run("import time")
    asked = book.client.execute("print('asleep', flush=True); time.sleep(200)")
    book.wait_for_text(asked, "asleep")
    begun = time.monotonic()
    book.manager.interrupt_kernel()
    reply = book.reply_to(asked)
    assert time.monotonic() - begun < 150
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    book.wait_until_idle(asked)
    assert book.run("print(6 * 7)").text == "42\n"


def test_cells_stand_back_from_servers(book):
    assert book.run("import os; print(os.nice(0))").text == "10\n"


def test_subprocesses_run_and_are_seen(book):
    assert book.run("!echo $((6 * 7))").text.replace("\r", "") == "42\n"
    code = "import subprocess; print(subprocess.run(['sh', '-c', 'echo $HOME; exit 3'], capture_output=True))"
    said = book.run(code).text
    assert "returncode=3" in said
    assert os.environ["HOME"] in said


def test_output_of_native_code_reaches_the_notebook(book):
    said = book.run("import os\nos.write(1, b'from below\\n'); import time; time.sleep(0.5)").text
    assert "from below" in said


def test_threads_run(book):
    code = "from concurrent.futures import ThreadPoolExecutor as P\nwith P(4) as p: print(sum(p.map(abs, range(9))))"
    assert book.run(code).text == "36\n"


def test_signals_reach_the_users_handlers(book):
    code = "import signal as s\ns.signal(s.SIGUSR1, lambda *_: print('usr1'))\ns.raise_signal(s.SIGUSR1)"
    assert "usr1" in book.run(code).text
    assert book.run("print(s.getsignal(s.SIGCHLD) is s.SIG_DFL)").text == "True\n"


def test_gdal_and_proj_work(book, home):
    code = f"""
import numpy as np, rasterio, pyproj
with rasterio.open({str(home / "a.tif")!r}, "w", driver="GTiff", width=2, height=2, count=1, dtype="uint8") as out:
    out.write(np.array([[[1, 2], [3, 4]]], "uint8"))
with rasterio.open({str(home / "a.tif")!r}) as there:
    print(there.read().sum(), round(pyproj.Transformer.from_crs(4326, 32631).transform(45, 3)[0]))
"""
    assert "10 500000\n" in book.run(code).text


def test_multiprocessing_works(book):
    code = "import multiprocessing as m\nwith m.get_context('{}').Pool(2) as pool: print(pool.map(abs, [-1, 2]))"
    assert book.run(code.format("fork")).text.endswith("[1, 2]\n")
    assert book.run(code.format("spawn")).text.endswith("[1, 2]\n")


def test_dask_computes_on_threads_and_on_a_local_cluster(book):
    code = """
import dask.array as da
print(da.ones((4, 4), chunks=2).sum().compute())
from distributed import Client, LocalCluster
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as c, Client(c) as client:
    print(client.submit(sum, [1, 2]).result())
"""
    said = book.run(code)
    assert said.text.startswith("16.0\n3\n"), said


def test_pip_installs_into_a_folder(book, home):
    wheel = home / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_thing.py", "answer = 42\n")
        archive.writestr("tiny_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        archive.writestr(
            "tiny_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_thing-1.0.dist-info/RECORD", "")
    said = book.run(f"%pip install -q --no-index --no-deps --target {home / 'own'} {wheel}")
    assert not said.error, said
    assert (
        book.run(
            f"import sys; sys.path.append({str(home / 'own')!r})\nimport tiny_thing; print(tiny_thing.answer)"
        ).text
        == "42\n"
    )


def test_history_is_kept(book):
    said = book.run("%history -l 2").text + book.run("print(get_ipython().history_manager.session_number > 0)").text
    assert said.endswith("True\n")


def debug(book, seq, command, **arguments):
    request = {"type": "request", "seq": seq, "command": command, "arguments": arguments}
    book.client.control_channel.send(book.client.session.msg("debug_request", request))
    answer = book.client.get_control_msg(timeout=120)["content"]
    assert answer["success"], answer
    return answer.get("body")


def wait_for_debug_event(book, name):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        message = book.client.get_iopub_msg(timeout=120)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == name:
            return message["content"]["body"]
    raise AssertionError(name)


def test_the_debugger_stops_where_it_is_told_to(kind, home):
    cell = "def twice(x):\n    y = 2 * x\n    return y\n\ntwice(21)"
    with notebook(home / "runtime") as book:
        wishes = {"supportsVariableType": True, "supportsVariablePaging": True, "supportsRunInTerminalRequest": True}
        debug(book, 1, "initialize", clientID="test", adapterID="", linesStartAt1=True, columnsStartAt1=True, **wishes)
        debug(book, 2, "attach")
        source = debug(book, 3, "dumpCell", code=cell)["sourcePath"]
        debug(book, 4, "setBreakpoints", breakpoints=[{"line": 2}], source={"path": source}, sourceModified=False)
        debug(book, 5, "configurationDone")
        book.client.execute(cell)
        stopped = wait_for_debug_event(book, "stopped")
        frames = debug(book, 6, "stackTrace", threadId=stopped["threadId"])["stackFrames"]
        assert [(frame["name"], frame["line"]) for frame in frames] == [("twice", 2), ("<module>", 5)]
        debug(book, 7, "continue", threadId=stopped["threadId"])
        debug(book, 8, "disconnect", restart=False, terminateDebuggee=True)
        assert book.run("print(twice(4))").text == "8\n"


@root_only
def test_nobody_but_the_user_reaches_the_debugger(kind, home):
    with notebook(home / "runtime") as book:
        debug(book, 1, "initialize", clientID="test", adapterID="")
        port = int(book.run("print(get_ipython().kernel.debugger.debugpy_client.get_host_port()[1])").text)
        assert not is_let_in(port, user=65534)
        debug(book, 2, "attach")
        assert not is_let_in(port, user=65534)
        assert debug(book, 3, "evaluate", expression="6 * 7")["result"] == "42"
        debug(book, 4, "disconnect", restart=False, terminateDebuggee=False)
        assert not is_let_in(port, user=65534)
        # The adapter is none the worse for it.
        debug(book, 5, "initialize", clientID="test", adapterID="")
        debug(book, 6, "attach")
        debug(book, 7, "disconnect", restart=False, terminateDebuggee=False)
        assert is_let_in(port, user=os.getuid())


def test_the_descriptors_of_a_kernel_are_its_own(book):
    code = """
import os
for name in os.listdir("/proc/self/fd"):
    if os.path.lexists(f"/proc/self/fd/{name}"): print(os.readlink(f"/proc/self/fd/{name}"))
"""
    links = book.run(code).text.split("\n")
    assert not [link for link in links if "template" in link or "memfd" in link or "n.sock" in link], links


def test_an_aggressive_reset_forgets_the_users_modules_and_no_others(book, home):
    (home / "work" / "tiny_own.py").write_text("answer = 42\n")
    code = """
import sys; sys.path.insert(0, ''); import tiny_own; sys.path.remove('')
get_ipython().reset(aggressive=True)
import sys; print('tiny_own' in sys.modules, 'earthlab' in sys.modules)
"""
    assert book.run(code).text.endswith("False True\n")


def test_a_restart_brings_a_fresh_kernel_to_the_same_client(book, kind):
    book.run("left = 1")
    before = book.process.pid
    if kind == "parked":
        time.sleep(2.5)
    book.manager.restart_kernel(now=False)
    book.client.wait_for_ready(timeout=120)
    assert book.process.pid != before
    assert book.run("print('left' in dir(), el.__name__)").text == "False earthlab\n"


def test_a_kernel_shut_down_leaves_nothing_behind(kind, home):
    with notebook(home / "runtime") as opened:
        process, file = opened.process, opened.manager.connection_file
        opened.client.stop_channels()
        opened.manager.shutdown_kernel(now=False)
    assert process.returncode == 0
    assert not Path(file).exists()
    assert not [each for each in (home / "runtime").iterdir() if each.name.startswith(Path(file).stem)]


def test_a_kernel_that_dies_is_reported_with_how_it_ended(kind, home):
    for code, expected in (
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ):
        with notebook(home / "runtime") as opened:
            process = opened.process
            opened.client.execute(code)
            assert process.wait(PATIENCE) == expected
            assert opened.manager.is_alive() is False
