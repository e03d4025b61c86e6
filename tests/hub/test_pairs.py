"""Collaboration is for seats of a workshop with pairs; there no page can come back to another history."""

import asyncio
import json
from pathlib import Path

import pytest
from jupyter_server_ydoc.app import YDocExtension
from jupyter_server_ydoc.utils import check_session_compatibility, save_current_session
from jupyterlab_server.config import get_page_config
from pycrdt import Doc
from pycrdt.store import YDocNotFound

from earthlab.hub.histories import NoHistory
from earthlab.hub.pairs import leave_out, plan_collaboration, works_in_pairs
from earthlab.hub.server import plan_arguments

COLLABORATION = {"@jupyter/collaboration-extension", "@jupyter/docprovider-extension"}


def page_config(arguments):
    (folder,) = (word.partition("=")[2] for word in arguments if word.startswith("--LabApp.app_settings_dir="))
    assert json.loads((Path(folder) / "overrides.json").read_text())
    return get_page_config([], folder)


@pytest.mark.parametrize("said", [{}, {"pairs": False}, {"pairs": True}])
def test_a_seat_s_server_knows_by_the_workshop_whether_there_are_pairs(tmp_path, said):
    material = {"slug": "neige", "notebooks": [{"path": "a.ipynb", "part": 1}], **said}
    (tmp_path / "atelier.json").write_text(json.dumps(material))
    assert works_in_pairs({"EARTHLAB_WORKSHOP": str(tmp_path)}) == said.get("pairs", False)
    assert not works_in_pairs({})


def test_nobody_else_has_anything_of_it(tmp_path):
    arguments = plan_arguments(tmp_path)
    for name in ("jupyter_server_fileid", "jupyter_server_ydoc"):
        assert f"--ServerApp.jpserver_extensions={name}=False" in arguments
    assert set(page_config(arguments)["disabledExtensions"]) >= COLLABORATION
    assert not any("YDoc" in word for word in arguments)
    others = [{"name": "jupyter-leaflet"}]
    told = {"federated_extensions": [*({"name": name} for name in sorted(COLLABORATION)), *others], "buildCheck": False}
    assert leave_out(None)(None, dict(told)) == {"federated_extensions": others, "buildCheck": False}
    said = leave_out(lambda _, page_config: page_config | {"hubUser": "amina"})(None, dict(told))
    assert said == {"federated_extensions": others, "buildCheck": False, "hubUser": "amina"}


def test_in_pairs_it_is_there_without_its_own_ways_to_share_and_to_go_back(tmp_path):
    arguments = plan_arguments(tmp_path, pairs=True)
    disabled = set(page_config(arguments)["disabledExtensions"])
    assert disabled == {
        "@jupyter/collaboration-extension:shared-link",
        "@jupyter/docprovider-extension:statusBarTimeline",
    }
    assert not any("ydoc=False" in word or "fileid=False" in word for word in arguments)


def test_jupyter_takes_our_words(tmp_path):
    app = YDocExtension()
    app.parse_command_line([word for word in plan_collaboration(tmp_path, pairs=True) if "YDoc" in word])
    assert app.document_cleanup_delay is None
    assert app.document_save_delay == 0.5
    assert app.ystore_class is NoHistory


async def test_nothing_of_a_history_is_kept():
    history, doc = NoHistory(path="x", log=None, config={}), Doc()
    await history.write(b"x")
    await history.encode_state_as_update(doc)
    with pytest.raises(YDocNotFound):
        await history.apply_updates(doc)


async def test_a_page_of_an_earlier_server_is_told_to_load_anew(tmp_path):
    (path,) = (w.partition("=")[2] for w in plan_collaboration(tmp_path, pairs=True) if "session_store_path" in w)
    await save_current_session(str(tmp_path), "earlier", "1", asyncio.Lock(), session_store_path=path)
    refused, why = check_session_compatibility(str(tmp_path), "earlier", "1", session_store_path=path)
    assert (refused, why) == (True, "unknown_session")
    assert list(tmp_path.iterdir()) == []
