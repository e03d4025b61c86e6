"""A key goes to the host it is for, and to nothing that looks like it."""

from urllib.parse import urlsplit

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from earthlab.catalog.signing.hosts import is_among, parse_address
from earthlab.catalog.signing.providers import load_providers

MAISON = "s3-data.meso.umontpellier.fr"


@pytest.mark.parametrize(
    "href",
    [
        f"https://{MAISON}/bucket/a.tif",
        f"https://{MAISON.upper()}/bucket/a.tif",
        f"HTTPS://{MAISON}/bucket/a.tif",
        f"https://{MAISON}:443/bucket/a.tif",
        f"https://{MAISON}/bucket/@evil.test/a.tif",
        f"https://{MAISON}/a.tif?x=https://evil.test/",
    ],
)
def test_the_host_itself_matches_however_it_is_spelled(href):
    assert is_among(href, [MAISON])


@pytest.mark.parametrize(
    "href",
    [
        "https://evil-meso.umontpellier.fr/bucket/a.tif",
        "https://evil-s3-data.meso.umontpellier.fr/bucket/a.tif",
        f"https://other.{MAISON}/bucket/a.tif",
        f"https://{MAISON}.evil.test/bucket/a.tif",
        f"https://{MAISON}./bucket/a.tif",
        f"https://.{MAISON}/bucket/a.tif",
        f"https://{MAISON}:8443/bucket/a.tif",
        f"https://{MAISON}:/bucket\\a.tif",
        f"https://{MAISON}:port/bucket/a.tif",
        f"https://{MAISON}@evil.test/bucket/a.tif",
        f"https://user@{MAISON}/bucket/a.tif",
        f"https://evil.test\\@{MAISON}/a.tif",
        f"https://{MAISON}\\.evil.test/a.tif",
        f"https://evil.test#@{MAISON}/a.tif",
        f"https://{MAISON}#.evil.test/a.tif",
        f"https://{MAISON}?.evil.test/a.tif",
        f"https://{MAISON}",
        "https://s3-data.meso.umontpel\tlier.fr/a.tif",
        f"https://{MAISON}\n/a.tif",
        f" https://{MAISON}/a.tif",
        "https://s3-data.meso.umontpellier%2efr/a.tif",
        "https://s3-data.meso.umontpellier。fr/a.tif",
        "https://s3-dаta.meso.umontpellier.fr/a.tif",
        "https://xn--s3-dta-4fg.meso.umontpellier.fr/a.tif",
        "https://[::1]/a.tif",
        "https://[::1/a.tif",
        f"http://{MAISON}/bucket/a.tif",
        f"ftp://{MAISON}/bucket/a.tif",
        f"s3://{MAISON}/bucket/a.tif",
        f"/vsicurl/https://{MAISON}/a.tif",
        f"//{MAISON}/a.tif",
        "/data/a.tif",
        "",
    ],
)
def test_whatever_looks_like_the_host_does_not_match(href):
    assert not is_among(href, [MAISON])


def test_without_tls_only_this_machine_is_spoken_to():
    assert is_among("http://127.0.0.1:8080/a", ["127.0.0.1:8080"])
    assert not is_among("http://127.0.0.1:8081/a", ["127.0.0.1:8080"])
    assert not is_among("http://127.0.0.1.evil.test:8080/a", ["127.0.0.1:8080", "127.0.0.1.evil.test:8080"])


def test_subdomains_begin_at_a_dot():
    hosts = ["blob.core.windows.net"]
    assert is_among("https://sentinel2l2a01.blob.core.windows.net/c/a.tif", hosts, subdomains=True)
    assert not is_among("https://evilblob.core.windows.net/c/a.tif", hosts, subdomains=True)
    assert not is_among("https://blob.core.windows.net/c/a.tif", hosts, subdomains=True)
    assert not is_among("https://a.blob.core.windows.net.evil.test/c/a.tif", hosts, subdomains=True)


def test_buckets_are_compared_whole():
    assert is_among("s3://eodata/a.jp2", ["s3://eodata"])
    assert not is_among("s3://eodata-evil/a.jp2", ["s3://eodata"])
    assert not is_among("https://eodata/a.jp2", ["s3://eodata"])


@given(st.text(st.sampled_from("abc.-:@/\\#?%[] \t0:") | st.characters(max_codepoint=0x250), max_size=30))
def test_what_matches_is_where_every_client_would_go(rest):
    href = f"https://{rest}/a"
    address = parse_address(href)
    if address is not None:
        assert urlsplit(href).hostname == address.host == urllib3.util.parse_url(href).host


def test_every_provider_of_the_file_says_where_it_is_known_from():
    for provider in load_providers().values():
        assert provider.source
        assert provider.way
        assert all("://" in host or is_among(f"https://{host}/a", [host]) for host in provider.hosts)
        assert provider.url.startswith("https://") or not provider.url
