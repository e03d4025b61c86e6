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


TRANSLATIONS = """
from jupyterlab_server import translation_utils, translations_handler
def refuse(*_, **__):
    raise AssertionError("a walk through all installed packages")
{import_ahead}
packs, said = translations_handler.get_language_packs(display_locale="fr_FR")
pack, unsaid = translations_handler.get_language_pack("fr_FR")
print(packs, repr(said + unsaid), len(pack), pack["jupyterlab"]["Save"])
"""
AHEAD = "import earthlab.hub.forked_server; translation_utils.entry_points = refuse"


def test_a_copy_knows_the_translations_without_a_look_at_all_packages():
    ahead = said_by(TRANSLATIONS.format(import_ahead=AHEAD))
    assert ahead == said_by(TRANSLATIONS.format(import_ahead=""))
    assert "Sauvegarder" in ahead[0]


SCHEMAS = """
import sys
import earthlab.hub.forked_server
from jsonschema import Draft7Validator
from jupyter_core.paths import jupyter_path
from jupyterlab.commands import get_app_dir
from jupyterlab_server.settings_utils import get_settings

checked = []
check = Draft7Validator.check_schema
Draft7Validator.check_schema = classmethod(lambda kind, schema: checked.append(schema.get("title")))
found, warnings = get_settings(
    get_app_dir(), get_app_dir() + "/schemas", sys.argv[1], labextensions_path=jupyter_path("labextensions")
)
print(len(found["settings"]) > 60, checked, repr(warnings))
"""


def test_a_copy_checks_no_schema_that_the_template_has_checked(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCHEMAS, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "[]", "[]"]


UNSOUND = """
from earthlab.hub.forked_server import Sound
from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError

sound = Sound(Draft7Validator)
for _ in range(2):
    sound.check_schema({"type": "object"})
    try:
        sound.check_schema({"type": "nothing"})
    except SchemaError as exc:
        print(exc.validator, sound({"type": "object"}).is_valid({}))
"""


def test_a_schema_that_is_not_sound_is_refused_each_time():
    assert said_by(UNSOUND) == ["anyOf True"] * 2
