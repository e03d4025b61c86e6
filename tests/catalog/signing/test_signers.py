"""What each way to sign sends, and what it makes of odd answers."""

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import numpy as np
import obstore
import pytest
import rasterio
import zarr
from obstore.store import S3Store
from zarr.storage import LocalStore

from earthlab.catalog.signing import Signed, make_signer
from earthlab.catalog.signing.keys import Key
from earthlab.catalog.signing.making import change_provider
from earthlab.catalog.signing.providers import find_provider
from earthlab.catalog.signing.signers import presign
from earthlab.cube.readers.raster import gdal_env
from earthlab.cube.readers.zarr import ZarrStore
from earthlab.errors import CatalogueUnavailable, NotAllowed
from earthlab.testing.buckets import serve_bucket
from earthlab.testing.rasters import RasterFile, write_raster
from earthlab.testing.signing import CASES, CONTENT, PLANTED, SigningCase, json_reply, read_signed


def test_the_maison_is_asked_for_64_at_a_time_with_the_two_headers_of_its_key(tmp_path):
    with CASES["mtd"].running(tmp_path) as (provider, signer):
        hrefs = [provider.href(f"{n}.tif") for n in range(130)]
        signed = signer.sign_many(hrefs)
        assert list(signed) == hrefs
        assert [row.urls for row in provider.asked()] == [64, 64, 2]
        assert {row.path for row in provider.asked()} == {"/sign_urls"}
        sent = provider.asked()[0].headers
        assert (sent["access-key"], sent["secret-key"]) == tuple(CASES["mtd"].key.values())
        assert sent["user-agent"].startswith("EarthLab/")
        assert signer.sign(hrefs[5]) is signed[hrefs[5]]


def test_the_broker_has_the_token_of_the_hub(tmp_path):
    with CASES["broker"].running(tmp_path) as (provider, signer):
        signer.sign(provider.href())
        assert provider.asked()[0].headers["authorization"] == f"token {PLANTED}-token"


def test_a_refusal_of_the_broker_says_why_and_how(tmp_path):
    with CASES["broker"].running(tmp_path, refused=("licensed",)) as (provider, signer):
        with pytest.raises(NotAllowed, match=r"charter Sign the charter\.\).*page of rights"):
            signer.sign(provider.href("licensed/a.bin"))
        assert signer.sign(provider.href())


@pytest.mark.parametrize(
    "signed",
    [
        None,
        7,
        "/etc/passwd",
        "file:///etc/passwd",
        "/vsizip//etc/a.zip",
        "http://evil.test/a.bin",
        "https://user:pass@evil.test/a.bin",
        "s3://bucket/a.bin",
    ],
)
def test_what_is_no_web_address_is_not_opened(tmp_path, signed):
    with CASES["mtd"].running(tmp_path) as (provider, signer):
        href = provider.href()
        provider.instead = lambda _: json_reply({"hrefs": {href: signed}, "expiry": "2999-01-01T00:00:00Z"})
        with pytest.raises(CatalogueUnavailable, match="without a web address"):
            signer.sign(href)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'{"hrefs": []}'])
@pytest.mark.parametrize("name", ["mtd", "planetary-computer"])
def test_an_answer_that_makes_no_sense_is_told(tmp_path, name, body):
    with CASES[name].running(tmp_path) as (provider, signer):
        provider.instead = lambda _: (200, {}, body)
        with pytest.raises(CatalogueUnavailable, match="answers without"):
            signer.sign(provider.href())


@pytest.mark.parametrize("name", ["mtd", "planetary-computer"])
def test_what_has_expired_on_arrival_is_told_with_the_clock(tmp_path, name):
    with (
        CASES[name].running(tmp_path, lifetime=-30.0) as (provider, signer),
        pytest.raises(CatalogueUnavailable, match="clock"),
    ):
        signer.sign(provider.href())


@pytest.mark.parametrize("name", ["mtd", "broker", "planetary-computer"])
def test_no_redirect_of_a_signing_service_is_followed(tmp_path, name):
    with CASES[name].running(tmp_path) as (provider, signer):
        provider.instead = lambda path: (307, {"Location": f"http://localhost:{provider.port}{path}"}, b"")
        with pytest.raises(CatalogueUnavailable, match="307"):
            signer.sign(provider.href())
        assert {row.host for row in provider.requests} == {"127.0.0.1"}


def test_planetary_computer_gives_one_token_a_container(tmp_path):
    case = CASES["planetary-computer"]
    with case.running(tmp_path) as (provider, signer):
        signed = [signer.sign(provider.href(f"{n}.tif")).href for n in range(20)]
        signer.sign(f"{provider.url}/other/a.tif")
        assert [row.path for row in provider.asked()] == ["/token/127/data", "/token/127/other"]
        assert provider.asked()[0].headers["ocp-apim-subscription-key"] == f"{PLANTED}-subscription"
        assert len({href.partition("?")[2] for href in signed}) == 1
        assert signer.sign(provider.href("a.tif?versionid=1")).href.startswith(provider.href("a.tif?versionid=1&se="))


def test_planetary_computer_needs_no_key(tmp_path, monkeypatch, bare_environment):
    monkeypatch.delenv("PC_SDK_SUBSCRIPTION_KEY", raising=False)
    anybody = SigningCase("planetary-computer", "containers", {})
    with anybody.running(tmp_path) as (provider, _):
        signer = make_signer("planetary-computer", url=provider.url, hosts=[provider.place], subdomains=False)
        assert read_signed(signer.sign(provider.href())) == CONTENT
        assert "ocp-apim-subscription-key" not in provider.asked()[0].headers


def test_a_container_that_planetary_computer_does_not_know_is_read_as_it_is(tmp_path):
    with CASES["planetary-computer"].running(tmp_path) as (provider, signer):
        provider.instead = lambda _: json_reply({}, 404)
        assert signer.sign(provider.href()).href == provider.href()
        assert signer.sign(provider.href("b.bin")).href == provider.href("b.bin")
        assert len(provider.asked()) == 1


def test_planetary_computer_signs_storage_accounts_and_nothing_beside_them(bare_environment):
    signer = make_signer("planetary-computer")
    assert signer.match("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/a.tif")
    assert not signer.match("https://sentinel2l2a01.blob.core.windows.net/a.tif")
    assert not signer.match("https://a.b.blob.core.windows.net/c/a.tif")
    assert not signer.match("https://a/b.blob.core.windows.net/c/a.tif")
    assert not signer.match("https://sentinel2l2a01.blob.core.windows.net.evil.test/c/a.tif")


def test_earthdata_signs_in_with_name_and_password_for_a_token(tmp_path):
    case = SigningCase("earthdata", "header", {"username": f"{PLANTED}-u", "password": f"{PLANTED}-p"})
    with case.running(tmp_path) as (provider, signer):
        assert read_signed(signer.sign(provider.href())) == CONTENT
        assert read_signed(signer.sign(provider.href("a.bin?x=1"))) == CONTENT
        (login,) = [row for row in provider.requests if row.path == "/api/users/find_or_create_token"]
        pair = base64.b64encode(f"{PLANTED}-u:{PLANTED}-p".encode()).decode()
        assert (login.host, login.headers["authorization"]) == ("localhost", f"Basic {pair}")
        sent = {row.headers.get("authorization") for row in provider.requests if row.host == "127.0.0.1"}
        assert sent == {f"Bearer {PLANTED}-bearer-{provider.port}"}


def test_a_server_that_leads_to_the_login_says_that_the_key_is_not_taken(tmp_path):
    with CASES["earthdata"].running(tmp_path) as (provider, signer):
        provider.instead = lambda _: (302, {"Location": f"http://localhost:{provider.port}/oauth/authorize"}, b"")
        with pytest.raises(NotAllowed, match=r"asks to sign in.*Generate Token"):
            signer.sign(provider.href())
        assert {row.host for row in provider.requests} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "place", ["", "ftp://evil.test/a", "file:///etc/passwd", "http://evil.test/a", "//u:p@evil.test/a"]
)
def test_a_server_that_leads_nowhere_good_is_not_followed(tmp_path, place):
    with CASES["geodes"].running(tmp_path) as (provider, signer):
        provider.instead = lambda _: (302, {"Location": place}, b"")
        with pytest.raises(CatalogueUnavailable, match="leads"):
            signer.sign(provider.href())
        assert {row.host for row in provider.requests} == {"127.0.0.1"}


def test_a_redirect_within_the_provider_keeps_the_key(tmp_path):
    with CASES["geodes"].running(tmp_path) as (provider, signer):
        provider.instead = lambda path: (301, {"Location": "/data/a.bin"}, b"") if path == "/data/old" else None
        signed = signer.sign(provider.href("old"))
        assert signed.href == provider.href("a.bin")
        assert read_signed(signed) == CONTENT


@pytest.mark.parametrize(
    ("query", "lasts"),
    [
        ("X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires=900&X-Amz-Signature=s", 900),
        ("Expires={seconds:.0f}&Signature=s", 1200),
        ("se={iso}&sig=s", 1200),
        ("sig=s", 300),
        ("X-Amz-Date=soon&X-Amz-Expires=900", 300),
    ],
)
def test_the_expiry_of_a_store_that_a_provider_leads_to_is_that_of_its_address(tmp_path, query, lasts):
    now = datetime.now(UTC)
    later = now.timestamp() + 1200
    iso = datetime.fromtimestamp(later, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    away = f"https://store.example.org/a?{query.format(now=now, seconds=later, iso=iso)}"
    with CASES["geodes"].running(tmp_path) as (provider, signer):
        provider.instead = lambda _: (303, {"Location": away}, b"")
        signed = signer.sign(provider.href())
    assert signed.href == away
    assert not signed.options
    assert signed.expires - now.timestamp() == pytest.approx(lasts, abs=3)


def test_a_file_that_is_not_there_is_for_its_reader_to_say(tmp_path):
    with CASES["geodes"].running(tmp_path) as (provider, signer):
        signed = signer.sign(provider.href("no.tif"))
        with pytest.raises(FileNotFoundError, match="404"):
            read_signed(signed)


@pytest.mark.parametrize("token", [{}, {"session_token": "t/+="}])
@pytest.mark.parametrize("payer", ["", "requester"])
@pytest.mark.parametrize("name", ["a.tif", "x/été 1+(b)~.tif"])
def test_presigned_addresses_are_those_of_botocore(token, payer, name):
    key = {"access_key": "AKID", "secret_key": "secret", **token}
    provider = change_provider(find_provider("s3"), "https://s3.example.org", payer=payer, region="eu-west-1")
    moment = datetime.now(UTC)
    ours = presign(provider, Key(key), f"s3://bucket/{name}", moment)
    credentials = botocore.credentials.Credentials("AKID", "secret", token.get("session_token"))
    auth = botocore.auth.S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=3600)
    query = "?x-amz-request-payer=requester" if payer else ""
    request = botocore.awsrequest.AWSRequest("GET", urlsplit(ours)._replace(query="").geturl() + query)
    stamped = f"{moment:%Y%m%dT%H%M%SZ}"
    request.context["timestamp"] = stamped
    auth._modify_request_before_signing(request)
    theirs = parse_qs(urlsplit(request.url).query)
    known = parse_qs(urlsplit(ours).query)
    signature = known.pop("X-Amz-Signature")
    theirs["X-Amz-Date"] = [stamped]
    assert known == theirs
    request.url = ours.partition("&X-Amz-Signature=")[0]
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert signature == [expected]


@pytest.fixture
def bucket(tmp_path):
    """A bucket of a real server with a GeoTIFF and a Zarr store, and the signer of its keys."""
    values = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    path = write_raster(tmp_path / "a.tif", RasterFile(values))
    zarr.create_group(LocalStore(tmp_path / "s.zarr")).create_array("t", data=values)
    (tmp_path / "server").mkdir()
    with serve_bucket(tmp_path / "server") as served:
        access, secret = served.keys["AWS_ACCESS_KEY_ID"], served.keys["AWS_SECRET_ACCESS_KEY"]
        store = S3Store(
            "cubes",
            endpoint=served.endpoint,
            access_key_id=access,
            secret_access_key=secret,
            client_options={"allow_http": True},
        )
        obstore.put(store, "x/été (1).tif", path.read_bytes())
        for file in (tmp_path / "s.zarr").rglob("*"):
            if file.is_file():
                obstore.put(store, str(file.relative_to(tmp_path)), file.read_bytes())
        yield served, {"access_key": access, "secret_key": secret}, values


@pytest.mark.parametrize("presigned", [True, False])
def test_a_real_server_opens_what_keys_of_s3_sign(bucket, presigned):
    served, key, values = bucket
    href = f"{served.url}/x/été (1).tif"
    signer = make_signer("s3", key=key, url=served.endpoint, hosts=[served.url], presigned=presigned)
    signed = signer.sign(href)
    assert signed.href.startswith("http://" if presigned else "s3://")
    assert read_signed(signed)
    with gdal_env(signed), rasterio.open(signed.href) as source:
        np.testing.assert_array_equal(source.read(1), values)
    with pytest.raises(OSError, match="403"):
        read_signed(
            Signed(
                signed.href.partition("?")[0]
                .replace("s3://", f"{served.endpoint}/")
                .replace(" ", "%20")
                .replace("é", "%C3%A9")
            )
        )


def test_a_store_of_many_objects_goes_with_options(bucket):
    served, key, values = bucket
    signer = make_signer("s3", key=key, url=served.endpoint, hosts=[served.url], presigned=True)
    href = f"{served.url}/s.zarr"
    store = ZarrStore(href, signer.sign(href))
    np.testing.assert_array_equal(store.read("t", (slice(0, 64), slice(0, 64))), values)
