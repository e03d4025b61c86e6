from pathlib import Path

import pytest

from earthlab.errors import SetupError
from earthlab.hub.layout import public_url, resolve_accounts, resolve_layout, resolve_ports
from earthlab.settings import load_settings


def given(**values):
    return load_settings({f"lab.{k}": v for k, v in values.items()}, environ={}, files=())


def test_two_state_folders_are_two_labs_and_the_same_one_is_the_same_lab():
    one, again, other = (resolve_layout(given(state=Path(p))) for p in ("/x/a", "/x/a", "/x/b"))
    assert one == again
    assert one.lab_id != other.lab_id
    assert one.run != other.run


def test_a_socket_of_the_longest_name_fits_into_107_bytes():
    run = resolve_layout(given(state=Path("/a/very/deep/" * 20))).run
    assert len(str(run / "abcdef" / f"kernel-{'0' * 36}-ipc-65535")) <= 107


def test_ports_follow_one_another_from_the_public_one():
    ports = resolve_ports(given(port=8100))
    assert (ports.public, ports.stac, ports.gateway_api, ports.tiles) == (8100, 8103, 8106, 8109)


@pytest.mark.parametrize("port", [0, -1, 65530, 70000])
def test_a_row_of_ports_that_does_not_fit_is_refused_by_name(port):
    with pytest.raises(SetupError, match="EARTHLAB__LAB__PORT"):
        resolve_ports(given(port=port))


def test_accounts_follow_root_and_are_refused_to_others():
    assert resolve_accounts(given(), uid=0) == "unix"
    assert resolve_accounts(given(), uid=1000) == "shared"
    assert resolve_accounts(given(accounts="shared"), uid=0) == "shared"
    with pytest.raises(SetupError, match="root"):
        resolve_accounts(given(accounts="unix"), uid=1000)


def test_the_address_to_open_names_a_machine_where_the_lab_listens_everywhere():
    assert public_url(given(address="0.0.0.0", port=80).lab, "lab.example") == "http://lab.example:80"
    assert public_url(given(address="::1", port=80).lab, "x") == "http://[::1]:80"
