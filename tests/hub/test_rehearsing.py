"""The rehearsal's token: made once, for the operator's eyes, good for little."""

from types import SimpleNamespace

import pytest

from earthlab.errors import SetupError
from earthlab.hub.configure import configure_rehearsal
from earthlab.hub.layout import Layout
from earthlab.hub.prepare import make_folders
from earthlab.hub.rehearsing import make_rehearsal_token, read_rehearsal_token, rehearsal_role
from earthlab.settings import Settings


def test_the_token_is_made_once_and_only_the_operator_reads_it(layout: Layout) -> None:
    make_folders(layout)
    make_rehearsal_token(layout)
    token = read_rehearsal_token(layout)
    assert len(token) == 64
    make_rehearsal_token(layout)
    assert read_rehearsal_token(layout) == token
    assert layout.rehearsal_token.stat().st_mode & 0o777 == 0o600


def test_where_no_hub_was_started_the_token_is_missed_with_the_next_step(layout: Layout) -> None:
    with pytest.raises(SetupError, match="Start the lab anew"):
        read_rehearsal_token(layout)


def test_it_lists_and_removes_users_and_can_neither_enter_a_server_nor_make_anybody(
    layout: Layout, settings: Settings
) -> None:
    hub = SimpleNamespace(services=[], load_roles=[])
    configure_rehearsal(SimpleNamespace(JupyterHub=hub), layout, settings)
    assert hub.services == hub.load_roles == []
    make_folders(layout)
    make_rehearsal_token(layout)
    configure_rehearsal(SimpleNamespace(JupyterHub=hub), layout, settings)
    assert hub.services == [{"name": "rehearsal", "api_token": read_rehearsal_token(layout), "display": False}]
    assert hub.load_roles == [rehearsal_role()]
    assert set(hub.load_roles[0]["scopes"]) == {"list:users", "read:servers", "delete:users"}
