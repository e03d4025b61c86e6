"""Addresses travel unsigned and are signed where they are read; what is planted is found nowhere."""

import logging
import pickle
import sys
import time
import types
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest

import earthlab as el
from earthlab.catalog.signing import Signed, forget_signers, request_headers, sign
from earthlab.cube.readers.raster import _bands
from earthlab.errors import BadRequest, NotAllowed, ReadFault, SetupError
from earthlab.testing.rasters import scene_items, write_scene
from earthlab.testing.signing import CASES, CONTENT, PLANTED, read_signed, serve_provider

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
    forget_signers()
    yield made
    forget_signers()
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
    forget_signers()
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


@pytest.mark.parametrize("name", ["no.such.module:make", "json:nothing", "json"])
def test_a_signer_that_cannot_be_imported_is_named(monkeypatch, bare_environment, name):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", name)
    with pytest.raises(SetupError, match=r"catalogue\.signers names"):
        sign("https://a.test/x.tif")


def test_a_name_that_is_no_signer_is_told_with_the_nearest(monkeypatch, bare_environment):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "mdt")
    with pytest.raises(SetupError, match="Nearest: mtd"):
        sign("https://a.test/x.tif")


def test_an_address_of_a_service_without_tls_is_refused(monkeypatch, bare_environment):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "mtd=http://signing.example.org")
    with pytest.raises(BadRequest, match="not https"):
        sign("https://a.test/x.tif")


@pytest.mark.parametrize(
    ("href", "variable", "header"),
    [
        ("https://geodes-portal.cnes.fr/api/stac/search", "GEODES_API_KEY", "X-API-Key"),
        ("https://hydroweb.next.theia-land.fr/api/v1/rs-catalog/stac/search", "HYDROWEB_API_KEY", "X-API-Key"),
        ("https://archive.podaac.earthdata.nasa.gov/x.nc", "EARTHDATA_TOKEN", "Authorization"),
    ],
)
def test_a_key_in_the_environment_goes_with_requests_to_its_provider_alone(
    monkeypatch, bare_environment, href, variable, header
):
    assert request_headers(href) == {}
    monkeypatch.setenv(variable, SECRET)
    headers = request_headers(href)
    assert SECRET in headers[header]
    assert headers["User-Agent"].startswith("EarthLab/")
    assert SECRET not in repr(headers)
    assert request_headers(href.replace("https://", "https://evil-")) == {}
    assert request_headers(href.replace("https://", "http://")) == {}


@pytest.mark.parametrize(
    "href",
    [
        "https://s3-data.meso.umontpellier.fr/bucket/a.tif",
        "https://geodes-portal.cnes.fr/api/download/a.zip",
        "https://hydroweb.next.theia-land.fr/api/a.nc",
        "https://data.lpdaac.earthdatacloud.nasa.gov/a.tif",
        "s3://eodata/Sentinel-2/a.jp2",
        "s3://usgs-landsat/a.tif",
    ],
)
def test_without_a_key_a_known_host_is_read_as_it_is(bare_environment, monkeypatch, href):
    for variable in ("TLD_ACCESS_KEY", "GEODES_API_KEY", "HYDROWEB_API_KEY", "EARTHDATA_TOKEN", "CDSE_S3_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    assert sign(href).href == href
    assert not sign(href).options


def test_keys_of_a_bucket_whose_reader_pays_are_used_only_where_named(monkeypatch, bare_environment):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert not sign("s3://usgs-landsat/a.tif").options
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "s3-requester-pays")
    options = sign("s3://usgs-landsat/a.tif").options
    assert options["AWS_REQUEST_PAYER"] == "requester"
    assert options["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert SECRET not in repr(options)


@pytest.fixture
def maison(tmp_path, bare_environment, monkeypatch):
    """A service and its store in place of the Maison de la Télédétection's, with a key that is not set yet."""
    from earthlab.catalog.signing import configured
    from earthlab.catalog.signing.providers import load_providers

    (tmp_path / "a.bin").write_bytes(CONTENT)
    case = CASES["mtd"]
    with serve_provider(case.kind, case.key, tmp_path) as provider:
        known = load_providers()
        changes = {"mtd": ("url", provider.url), "broker": ("url", "")}
        moved = {
            name: replace(known[name], hosts=(provider.place,), **dict([changes[name]])) for name in ("mtd", "broker")
        }
        monkeypatch.setattr(configured, "load_providers", lambda: {**known, **moved})
        forget_signers()
        yield provider
    forget_signers()


def set_key(monkeypatch, key):
    monkeypatch.setenv("TLD_ACCESS_KEY", key["access_key"])
    monkeypatch.setenv("TLD_SECRET_KEY", key["secret_key"])


def test_a_key_that_appears_is_used_at_once_and_another_key_sees_nothing_of_it(maison, monkeypatch):
    href = maison.href()
    assert sign(href).href == href
    set_key(monkeypatch, CASES["mtd"].key)
    signed = sign(href)
    assert read_signed(signed) == CONTENT
    set_key(monkeypatch, CASES["mtd"].other_key())
    with pytest.raises(NotAllowed):
        sign(href)
    set_key(monkeypatch, CASES["mtd"].key)
    assert sign(href).href == signed.href


def test_the_key_of_the_file_serves_too(maison, bare_environment):
    file = bare_environment / ".config" / "earthlab" / "keys.toml"
    file.parent.mkdir(parents=True)
    parts = CASES["mtd"].key
    file.touch(0o600)
    file.write_text("".join(["[mtd]\n", *(f'{name} = "{value}"\n' for name, value in parts.items())]))
    assert read_signed(sign(maison.href())) == CONTENT
    file.chmod(0o640)
    with pytest.raises(SetupError, match="chmod 600") as refused:
        sign(maison.href())
    assert PLANTED not in str(refused.value)


def test_in_the_lab_the_broker_signs_for_whoever_has_no_key_of_their_own(maison, tmp_path, monkeypatch):
    case = CASES["broker"]
    with serve_provider(case.kind, case.key, tmp_path) as broker:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", broker.url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", case.key["token"])
        assert read_signed(sign(maison.href())) == CONTENT
        assert [row.headers["authorization"] for row in broker.asked()] == [f"token {case.key['token']}"]
        assert not maison.asked()
        set_key(monkeypatch, CASES["mtd"].key)
        sign(maison.href())
        assert maison.asked()


def test_a_worker_shows_the_broker_the_token_of_its_file_and_the_renewed_one_later(maison, tmp_path, monkeypatch):
    case, file = CASES["broker"], tmp_path / "token"
    file.touch(0o600)
    with serve_provider(case.kind, case.key, tmp_path) as broker:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", broker.url)
        monkeypatch.setenv("EARTHLAB_HUB_TOKEN_FILE", str(file))
        assert sign(maison.href()).href == maison.href()
        file.write_text("expired\n")
        with pytest.raises(NotAllowed, match="broker"):
            sign(maison.href())
        file.write_text(case.key["token"] + "\n")
        assert read_signed(sign(maison.href())) == CONTENT
        file.chmod(0o644)
        with pytest.raises(SetupError, match="chmod 600"):
            sign(maison.href())
        file.unlink()
        assert sign(maison.href()).href == maison.href()


def test_a_worker_leaves_the_users_keys_alone_and_hears_from_the_broker_why(tmp_path, bare_environment, monkeypatch):
    folder = bare_environment / ".config" / "earthlab"
    folder.mkdir(parents=True)
    (folder / "keys.toml").touch(0o600)
    (folder / "keys.toml").write_text(f'[geodes]\nkey = "{SECRET}"\n')
    href = "https://geodes-portal.cnes.fr/api/download/a.zip"
    assert request_headers(href)["X-API-Key"] == SECRET
    case, file = CASES["broker"], tmp_path / "token"
    file.touch(0o600)
    file.write_text(case.key["token"])
    with serve_provider(case.kind, case.key, tmp_path, refused=("geodes",)) as broker:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", broker.url)
        monkeypatch.setenv("EARTHLAB_HUB_TOKEN_FILE", str(file))
        assert request_headers(href) == {}
        with pytest.raises(NotAllowed, match="Sign the charter"):
            sign(href)
