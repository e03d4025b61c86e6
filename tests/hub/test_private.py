"""Which places users have for themselves, and what is left of them."""

import os
import stat
from pathlib import Path

import pytest

from earthlab.errors import SetupError
from earthlab.hub.accounts import Account
from earthlab.hub.layout import resolve_layout
from earthlab.hub.prepare import make_folders
from earthlab.hub.private import PLACES, close_private, open_private, plan_private, sweep_private
from earthlab.settings import load_settings
from tests.hub.conftest import root_only


def plan(operator=(), **given):
    settings = load_settings({"lab.state": "/srv/lab", **given}, environ={}, files=())
    return plan_private(settings, resolve_layout(settings), dict(operator))


@pytest.mark.parametrize(
    ("given", "operator", "left_out"),
    [
        ({}, {}, set()),
        ({"lab.state": "/tmp/lab"}, {}, {"/tmp"}),
        ({"lab.state": "/var/tmp/lab"}, {}, {"/var/tmp"}),
        ({"catalogue.descriptors": "/tmp/own"}, {}, {"/tmp"}),
        ({"cubes.store": "/dev/shm/cubes"}, {}, {"/dev/shm"}),
        ({"cubes.store": "s3://tmp/cubes"}, {}, set()),
        ({}, {"EARTHLAB_SAMPLES": "/var/tmp/data", "SSL_CERT_FILE": "/tmp/own.pem"}, {"/tmp", "/var/tmp"}),
        ({"hub.private_tmp": False}, {}, set(map(str, PLACES))),
    ],
)
def test_a_place_that_holds_what_all_need_stays_everybodys(given, operator, left_out):
    # All that are left where nothing special is needed: the checkout or, without root, the sockets may lie in one.
    usual = {str(place) for place in plan()}
    assert {str(place) for place in plan(operator, **given)} == usual - left_out
    assert usual


@root_only
class TestFolders:
    @pytest.fixture
    def ada(self, tmp_path):
        return Account("ada", 12345, 12345, tmp_path)

    @pytest.fixture(autouse=True)
    def rooms(self, layout):
        make_folders(layout)
        yield
        sweep_private(layout)
        assert not layout.tmp.exists()
        assert not layout.shared_memory.exists()

    def test_they_are_their_owners_and_lie_where_only_root_passes(self, layout, ada):
        found = open_private(layout, "el-ada", ada, PLACES)
        assert open_private(layout, "el-ada", ada, PLACES) == found
        assert found.keys() == set(map(str, PLACES))
        assert len(set(found.values())) == 3
        for place, folder in found.items():
            told = Path(folder).stat()
            assert (told.st_uid, stat.S_IMODE(told.st_mode)) == (12345, 0o700)
            above = Path(folder).parent.parent.stat()
            assert (above.st_uid, stat.S_IMODE(above.st_mode)) == (0, 0o700)
            assert Path(folder).is_relative_to("/dev/shm") is (place == "/dev/shm")

    def test_they_go_with_all_that_is_in_them(self, layout, ada, tmp_path):
        kept = tmp_path / "kept"
        kept.touch()
        deep = Path(open_private(layout, "el-ada", ada, PLACES)["/tmp"])
        other = open_private(layout, "el-eve", ada, PLACES)["/tmp"]
        (deep / "link").symlink_to(tmp_path)
        here = os.open(deep, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)
        close_private(layout, "el-ada")
        assert not deep.exists()
        assert kept.exists()
        assert Path(other).exists()

    def test_a_strangers_folder_in_their_place_is_refused(self, layout, ada):
        layout.shared_memory.mkdir()
        os.chown(layout.shared_memory, 12345, 12345)
        with pytest.raises(SetupError, match="not a folder of root's"):
            open_private(layout, "el-ada", ada, PLACES)
