"""What other libraries log of an address has no query."""

import logging

import pytest
import urllib3

import earthlab.catalog.signing  # noqa: F401 - its import is what hushes
from earthlab.testing.signing import CASES, serve_provider


def test_urllib3_logs_addresses_without_their_signatures(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    case = CASES["mtd"]
    with serve_provider(case.kind, case.key, tmp_path) as provider:
        urllib3.PoolManager().request("GET", f"{provider.href()}?sig=planted&x=1")
    assert "/data/a.bin?…" in caplog.text
    assert "planted" not in caplog.text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            "'/vsizip/{/vsicurl/https://a/b.zip?sig=planted}/c.tif' is started",
            "'/vsizip/{/vsicurl/https://a/b.zip?…}/c.tif' is started",
        ),
        ("is it there? yes", "is it there? yes"),
        ("100%", "100%"),
    ],
)
def test_the_rest_of_a_line_stays(caplog, said, kept):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("rasterio._base").debug("Dataset %s", said)
    assert caplog.messages == [f"Dataset {kept}"]
