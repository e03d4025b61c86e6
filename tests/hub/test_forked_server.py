"""What the template has asked ahead for all servers."""

import subprocess
import sys

NAMES = "from nbconvert.exporters import base; print(*base.get_export_names())"
WITHOUT_A_LOOK = """
import importlib.metadata, sys
import earthlab.hub.forked_server
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from nbconvert.exporters import base

def refuse(*_, **__):
    raise AssertionError("a walk through all installed packages")

for module in (importlib.metadata, *(each for name, each in sys.modules.items() if name.startswith("nbconvert"))):
    vars(module).update(distributions=refuse, entry_points=refuse)
assert "jupyter_server_ydoc" not in sys.modules, "its copies would all have one mark"
print(*base.get_export_names())
print(base.get_exporter("html").__name__, *sorted(KernelProvisionerFactory().provisioners))
"""


def said_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_copy_knows_exporters_and_provisioners_without_a_look_at_all_packages():
    names, found = said_by(WITHOUT_A_LOOK)
    assert [names] == said_by(NAMES)
    assert found.split() == ["HTMLExporter", "earthlab-fork", "local-provisioner"]
