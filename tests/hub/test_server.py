import json
import os
import resource
import subprocess
import sys

from earthlab.hub.server import FIRST_LESSON, first_page, kernels_folder, plan_arguments


def test_kernels_talk_over_sockets_and_ours_comes_first(tmp_path):
    arguments = plan_arguments(tmp_path)
    assert "--KernelManager.transport=ipc" in arguments
    assert "--MultiKernelManager.default_kernel_name=earthlab" in arguments
    assert f"--ServerApp.root_dir={tmp_path}" in arguments


def test_jupyterlab_opens_with_the_first_lesson_where_there_is_one(tmp_path):
    assert first_page(tmp_path) == "/lab"
    (tmp_path / FIRST_LESSON).parent.mkdir(parents=True)
    (tmp_path / FIRST_LESSON).touch()
    assert first_page(tmp_path) == "/lab/tree/notebooks/start/premiers-pas.ipynb"


def test_the_kernel_is_where_the_server_says():
    kernel = json.loads((kernels_folder() / "kernels" / "earthlab" / "kernel.json").read_text())
    assert kernel["display_name"] == "EarthLab"
    assert "earthlab.kernel" in kernel["argv"]


def test_a_process_that_takes_more_than_its_memory_is_refused_it():
    script = (
        "import os, resource; from earthlab.hub.server import bound_resources\n"
        "bound_resources({'EARTHLAB_SERVER_MEMORY': str(2**28), 'EARTHLAB_OWN_ACCOUNT': '1'})\n"
        "try:\n    bytearray(2**29)\n"
        "except MemoryError:\n    print('refused', resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "refused (0, 0)\n"
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] != 2**28
    assert os.getpid()
