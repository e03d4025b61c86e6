"""Runs inside the image `hub`: JupyterHub, KubeSpawner, a PostgreSQL driver and our code are there, science is not."""

import importlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

OURS = ("configure", "authenticators", "places", "kubernetes")
THEIRS = (
    "jupyterhub",
    "kubespawner",
    "kubernetes_asyncio",
    "oauthenticator",
    "psycopg2",
    "pycurl",
    "jupyterhub_idle_culler",
)
SCIENCE = ("numpy", "xarray", "dask", "rasterio", "pandas")


def main() -> None:
    """All of it."""
    assert os.getuid() == 1000, os.getuid()
    assert not os.access(sys.prefix, os.W_OK)
    assert not (found := [name for name in ("cc", "gcc", "node", "npm") if shutil.which(name)]), found
    for name in THEIRS:
        importlib.import_module(name)
    for name in OURS:
        importlib.import_module(f"earthlab.hub.{name}")
    assert not (found := [name for name in SCIENCE if importlib.util.find_spec(name)]), found
    static = Path(sys.prefix) / "share/jupyter/lab/static"
    assert (static / "index.html").is_file(), static
    assert (Path(sys.prefix) / "share/jupyterhub/static/components").is_dir()
    import jupyterhub

    print(f"jupyterhub {jupyterhub.__version__}")


if __name__ == "__main__":
    main()
