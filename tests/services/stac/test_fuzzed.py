"""The service fuzzed from its own description, for fifteen seconds; ``tests/bench/fuzz_stac.py`` does it for longer."""

import pytest

from earthlab.testing.stac import serve_catalogue
from tests.bench.fuzz_stac import fuzz
from tests.services.stac.made import write_made

pytestmark = pytest.mark.lab


def test_schemathesis_finds_nothing(tmp_path):
    with serve_catalogue(write_made(tmp_path / "catalogue")) as served:
        ended = fuzz(served.url, served.token, 15)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No issues found" in ended.stdout
