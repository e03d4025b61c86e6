"""Addresses travel unsigned and are signed where they are read; what is planted is found nowhere."""

import logging
import pickle
import sys
import time
import types

import cloudpickle
import numpy as np
import pytest

import earthlab as el
from earthlab.catalog import signing
from earthlab.catalog.signing import Signed, sign, unsigned
from earthlab.cube.readers.raster import _bands
from earthlab.errors import BadRequest, ReadFault, SetupError
from earthlab.testing.rasters import scene_items, write_scene

SECRET = "PLANTED-SECRET-7f3a"


class LocalSigner:
    """Signs addresses of one invented host with a query that the test can find again, and counts."""

    def __init__(self, folder, lasts=3600.0):
        self.folder, self.lasts, self.asked = folder, lasts, 0

    def match(self, href):
        return href.startswith("https://archive.example.org/")

    def sign(self, href):
        self.asked += 1
        return Signed(str(self.folder / href.rsplit("/", 1)[1]), time.time() + self.lasts, {"GDAL_HTTP_BEARER": SECRET})


@pytest.fixture
def signer(tmp_path, monkeypatch, bare_environment):
    made = LocalSigner(tmp_path)
    module = types.ModuleType("planted_signer")
    module.make = lambda: made
    monkeypatch.setitem(sys.modules, "planted_signer", module)
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "planted_signer:make")
    signing._kept.clear()
    signing._load_all.cache_clear()
    yield made
    signing._load_all.cache_clear()
    _bands.clear()


@pytest.fixture
def items(tmp_path):
    document = write_scene(tmp_path, "a", {"red": np.full((64, 64), 7, "uint16")})
    document["assets"]["red"]["href"] = "https://archive.example.org/store/a-red.tif"
    return scene_items([document])


def test_a_worker_signs_when_it_reads_and_nothing_that_travels_holds_the_secret(signer, items, caplog):
    caplog.set_level(logging.DEBUG)
    cube = el.open(items)
    travelling = [
        pickle.dumps(cube.__dask_graph__()).decode("latin-1"),
        cloudpickle.dumps(cube).decode("latin-1"),
        repr(cube),
        cube._repr_html_(),
        str(cube.attrs),
        cube.earthlab.plan.to_json(),
        repr(sign("https://archive.example.org/store/a-red.tif")),
    ]
    assert (cube.red.compute(scheduler="threads") == 7).all()
    assert signer.asked >= 1
    assert not any(SECRET in text for text in [*travelling, caplog.text])
    assert "https://archive.example.org/store/a-red.tif" in travelling[0]


def test_a_signature_is_kept_until_shortly_before_it_expires(signer):
    href = "https://archive.example.org/store/a-red.tif"
    assert sign(href) is sign(href)
    assert signer.asked == 1
    signing._kept.clear()
    signer.lasts = 30.0
    sign(href)
    sign(href)
    assert signer.asked == 3


def test_an_address_nobody_signs_is_opened_as_it_is(signer):
    assert sign("/data/a.tif").href == "/data/a.tif"
    assert sign("https://archive.example.org.evil.test/a.tif").href == "https://archive.example.org.evil.test/a.tif"


def test_a_failing_read_names_the_address_and_not_the_signature(signer, items, tmp_path):
    (tmp_path / "a-red.tif").unlink()
    with pytest.raises(ReadFault) as raised:
        el.open(items, strict=True).red.compute(scheduler="sync")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("href", "plain"),
    [
        ("https://a.test/x.tif?se=2026&sig=abc&sp=r&v=2", "https://a.test/x.tif?v=2"),
        ("https://a.test/x.tif?X-Amz-Signature=abc&X-Amz-Date=1", "https://a.test/x.tif"),
        ("https://a.test/x.tif?access_token=abc", "https://a.test/x.tif"),
        ("https://a.test/x.tif?se=sentinel&v=1", "https://a.test/x.tif?se=sentinel&v=1"),
        ("s3://bucket/key.tif", "s3://bucket/key.tif"),
        ("/data/with?mark.tif", "/data/with?mark.tif"),
    ],
)
def test_signatures_that_a_catalogue_left_in_its_addresses_do_not_travel(href, plain):
    assert unsigned(href) == plain


def test_credentials_in_an_address_are_refused_without_being_shown():
    with pytest.raises(BadRequest, match=r"carries a user name or password") as raised:
        unsigned(f"https://user:{SECRET}@a.test/x.tif")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("name", ["no.such.module:make", "json:nothing", "json"])
def test_a_signer_that_cannot_be_imported_is_named(monkeypatch, bare_environment, name):
    signing._load_all.cache_clear()
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", name)
    with pytest.raises(SetupError, match=r"catalogue\.signers names"):
        sign("https://a.test/x.tif")
