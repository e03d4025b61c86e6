"""One template for all tests; a home, a nursery and kernels for each module."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from earthlab.hub.server import kernels_folder
from earthlab.kernel.provisioner import NURSERY
from tests.kernel.running_kernel import Service, start_template


@pytest.fixture(scope="session")
def sockets() -> Iterator[Path]:
    """A folder with a short path: sockets have 107 bytes for it."""
    folder = Path(tempfile.mkdtemp(prefix="el-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(sockets: Path) -> Iterator[Service]:
    service = start_template(sockets / "template.sock")
    service.wait_until_said("is ready")
    yield service
    service.stop()


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home with nothing in it, and the environment of a user's server."""
    folder = Path(tempfile.mkdtemp(prefix="el-"))
    (folder / "runtime").mkdir(mode=0o700)
    spec = folder / "data" / "kernels" / "earthlab"
    shutil.copytree(kernels_folder() / "kernels" / "earthlab", spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "IPYTHONDIR",
            "JUPYTER_CONFIG_DIR",
            "MPLCONFIGDIR",
            "XDG_CONFIG_HOME",
            "PYTHONPATH",
            "OMP_NUM_THREADS",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder))
        patch.setenv("JUPYTER_PATH", str(folder / "data"))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "data"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv(NURSERY, str(folder / "n.sock"))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)
