import os
import subprocess
import sys

import pytest

from tests.helm.pod_hub import pod_hub, write_profiles
from tests.helm.rendering import CHART, Rendered, gather, profiles, render

SMALL = {"slug": "petit", "title_fr": "Petit", "title_en": "Small", "cores": 1, "cores_kept": 0.25, "memory": "2 GiB"}
LARGE = {
    "slug": "grand", "title_fr": "Grand", "title_en": "Large", "cores": 8, "memory": "16 GiB", "memory_kept": "4 GiB",
    "image": "earthlab/lab:0.2.0", "groups": ["chercheurs"], "nodes": {"noeuds": "grands"},
}  # fmt: skip


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    return gather(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session", params=profiles())
def rendered(chart, request) -> Rendered:
    return render(chart, request.param)


@pytest.fixture(scope="session")
def fifth(tmp_path_factory):
    """JupyterHub 5.5, the chart's, in a folder of its own."""
    folder = tmp_path_factory.mktemp("hub-5")
    locked = CHART.parents[1] / "images/hub/jupyterhub-5.lock"
    line = ["pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", folder, "--requirement", locked]
    subprocess.run([sys.executable, "-m", *map(str, line)], check=True)
    return folder


@pytest.fixture(scope="module", params=["5.5", "6"])
def hub(request, tmp_path_factory):
    """A hub on a cluster, in the chart's version and in ours."""
    folder = tmp_path_factory.mktemp("pods")
    overlay = {"PYTHONPATH": str(request.getfixturevalue("fifth"))} if request.param == "5.5" else {}
    words = {
        "KUBERNETES__PROFILES": write_profiles(folder, SMALL, LARGE),
        "KUBERNETES__CUBE_KEYS": "open=cles, dinamis=cles-dinamis",
        "KUBERNETES__CATALOGUE_CLAIM": "earthlab-stac",
    }
    with pod_hub(folder, environ=overlay, **words) as found:
        yield found


@pytest.fixture(autouse=True, scope="session")
def _no_hub_of_ours():
    for name in [name for name in os.environ if name.startswith(("JUPYTERHUB", "KUBERNETES"))]:
        del os.environ[name]
