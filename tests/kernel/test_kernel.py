"""The kernel as Jupyter starts it, outside of any hub."""

import json

import pytest
from jupyter_client.manager import KernelManager

from earthlab.hub.server import kernels_folder
from earthlab.kernel.specs import LabKernelSpecs


@pytest.fixture
def specs(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_PATH", str(kernels_folder()))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    return LabKernelSpecs()


def test_earthlab_stands_in_place_of_the_bare_python(specs):
    assert "earthlab" in specs.find_kernel_specs()
    assert "python3" not in specs.find_kernel_specs()
    assert specs.get_kernel_spec("earthlab").display_name == "EarthLab"


def test_a_kernel_of_the_users_own_stays_on_offer(specs, tmp_path):
    own = tmp_path / "kernels" / "mine"
    own.mkdir(parents=True)
    (own / "kernel.json").write_text(json.dumps({"argv": ["true"], "display_name": "Mine", "language": "c"}))
    assert "mine" in specs.find_kernel_specs()


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
def test_the_kernel_starts_with_el_in_its_namespace_and_no_file_of_the_folder_in_its_way(specs, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise RuntimeError('a file of the user shadows the library')")
    monkeypatch.chdir(tmp_path)
    manager = KernelManager(kernel_name="earthlab", kernel_spec_manager=specs, transport="ipc")
    manager.connection_file = str(tmp_path / "k.json")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    said = []
    try:
        client.wait_for_ready(timeout=120)
        client.execute_interactive(
            "print(el.__name__, 'el' in dir())",
            timeout=120,
            output_hook=lambda m: said.append(m["content"].get("text")),
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "earthlab True\n" in said
