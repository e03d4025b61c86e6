"""The broker as its clients meet it: who may have what signed, and what is never said."""

import json
import time
from datetime import UTC, datetime

import pytest

from earthlab.testing.hub_api import Token
from tests.services.signing.conftest import KEY, LICENCE, MAY_USE


async def test_an_open_address_is_signed_for_whoever_may_use_the_broker(broker):
    url = broker.upstream.href("open/a.tif")
    answer = await broker.sign(url, token="bob")
    assert answer.status_code == 200
    assert set(answer.json()["hrefs"]) == {url}
    assert answer.json()["hrefs"][url] != url
    assert answer.headers["cache-control"] == "no-store"


async def test_what_is_signed_lives_for_an_hour_at_most(broker):
    broker.upstream.lifetime = 5 * 3600.0
    answer = await broker.sign(broker.upstream.href("open/a.tif"))
    expiry = datetime.fromisoformat(answer.json()["expiry"])
    assert 0 < (expiry - datetime.now(UTC)).total_seconds() <= 3600


async def test_a_licensed_address_is_signed_for_the_entitled_alone(broker):
    url = broker.upstream.href("licensed/b.tif")
    assert (await broker.sign(url)).status_code == 200
    refused = await broker.sign(url, token="bob")
    assert refused.status_code == 403
    assert "Réservé." in refused.json()["description"]
    assert "Sign the charter." in refused.json()["description"]


async def test_one_refused_address_refuses_all_of_them_and_nothing_is_asked_upstream(broker):
    urls = [broker.upstream.href(name) for name in ("open/a.tif", "licensed/b.tif")]
    assert (await broker.sign(*urls, token="bob")).status_code == 403
    assert broker.upstream.asked() == []


async def test_the_right_is_gone_with_the_group_or_the_scope(broker):
    url = broker.upstream.href("licensed/b.tif")
    broker.hub.tokens["ana"] = Token("ana", scopes=(MAY_USE,))
    assert (await broker.sign(url)).status_code == 403
    broker.hub.tokens["ana"] = Token("ana", scopes=(MAY_USE, LICENCE))
    assert (await broker.sign(url)).status_code == 200
    broker.hub.members["ana"] = ()
    assert (await broker.sign(url)).status_code == 403


async def test_a_token_replayed_after_its_expiry_fails(broker):
    broker.hub.tokens["brief"] = Token("ana", scopes=(MAY_USE, LICENCE), expires=time.time() + 0.4)
    url = broker.upstream.href("licensed/b.tif")
    assert (await broker.sign(url, token="brief")).status_code == 200
    broker.hub.tokens["brief"] = Token("ana", scopes=(MAY_USE, LICENCE), expires=time.time() - 1)
    assert (await broker.sign(url, token="brief")).status_code == 401


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("unknown", 401), ("stranger", 403)])
@pytest.mark.parametrize("path", ["/rights", "/keys", "/", "/anything", "/docs"])
async def test_nothing_answers_without_a_token_that_may_use_the_broker(broker, token, status, path):
    assert (await broker.ask("GET", path, token=token)).status_code == status


async def test_a_hub_that_is_silent_lets_nobody_in(broker):
    broker.hub.silent = True
    assert (await broker.sign(broker.upstream.href("open/a.tif"))).status_code == 503


@pytest.mark.parametrize(
    "wrong",
    [
        {"urls": []},
        {"urls": "https://a/b"},
        {"urls": [1]},
        {},
        {"urls": ["https://a/b"], "also": 1},
        ["https://a/b"],
    ],
)
async def test_what_is_no_list_of_addresses_is_refused(broker, wrong):
    assert (await broker.ask("POST", "/sign_urls", json=wrong)).status_code == 400


async def test_more_than_64_addresses_and_too_large_a_body_are_refused(broker):
    assert (await broker.sign(*["https://a/b"] * 65)).status_code == 413
    assert (await broker.ask("POST", "/sign_urls", content=b"[" * 600_000)).status_code == 413


async def test_a_host_that_nobody_signs_for_is_named_and_never_asked(broker):
    answer = await broker.sign("https://evil.example.org/x")
    assert answer.status_code == 400
    assert "evil.example.org" in answer.json()["description"]


async def test_a_key_that_goes_with_each_read_is_not_handed_on(broker):
    answer = await broker.sign("http://localhost:9/data/x.zip")
    assert answer.status_code == 403
    assert "keys.toml" in answer.json()["description"]


async def test_a_user_signs_with_a_key_of_their_own_before_the_labs(broker):
    url = broker.upstream.href("open/a.tif")
    mine = {"access_key": "mine", "secret_key": "mine"}
    assert (await broker.ask("PUT", "/keys/mtd", json={"key": mine})).json() == {"kept": "mtd"}
    assert (await broker.ask("GET", "/keys")).json() == {"known": ["mtd"], "kept": ["mtd"]}
    assert (await broker.ask("GET", "/keys", token="bob")).json()["kept"] == []
    assert (await broker.sign(url)).status_code == 403
    assert (await broker.sign(url, token="bob")).status_code == 200
    assert (await broker.ask("DELETE", "/keys/mtd")).status_code == 200
    assert (await broker.ask("DELETE", "/keys/mtd")).status_code == 404
    assert (await broker.sign(url)).status_code == 200


async def test_without_any_key_the_way_to_give_one_is_told(broker):
    broker.vault.remove("", "mtd")
    answer = await broker.sign(broker.upstream.href("open/a.tif"))
    assert answer.status_code == 403
    assert "earthlab keys put mtd" in answer.json()["description"]


@pytest.mark.parametrize(
    "address", ["https://[::1/a", "https://h/\ud800", "https://\ud800/a", "https://[::1/a?b=c", "\0"]
)
async def test_what_no_parser_reads_is_refused_as_what_was_asked(broker, address):
    """And not as a failure of ours, which would write the address into the log."""
    answer = await broker.ask("POST", "/sign_urls", content=json.dumps({"urls": [address]}))
    assert answer.status_code == 400


async def test_a_service_that_is_called_like_a_user_has_nothing_of_theirs(broker):
    mine = {"access_key": "mine", "secret_key": "mine"}
    await broker.ask("PUT", "/keys/mtd", json={"key": mine})
    broker.hub.tokens["robot"] = Token("ana", "service", (MAY_USE, LICENCE))
    assert (await broker.ask("GET", "/keys", token="robot")).json()["kept"] == []
    assert (await broker.sign(broker.upstream.href("licensed/b.tif"), token="robot")).status_code == 403


async def test_nobody_can_write_a_line_of_their_own_into_the_book(broker):
    for name in ("a\n{}", "a\u2028{}", "a%0a{}", "a\x85{}"):
        await broker.sign(broker.upstream.href(f"open/{name}"))
        await broker.sign(broker.upstream.href(f"licensed/{name}"), token="bob")
    assert broker.book
    assert broker.book.isascii()
    for line in broker.book.splitlines():
        assert json.loads(line)["user"] in {"ana", "bob"}


WRONG_KEYS = [
    None,
    {},
    {"a": "b"},
    {"access_key": "a"},
    {"access_key": "a", "secret_key": "b", "more": "c"},
    {"access_key": "", "secret_key": "b"},
    {"access_key": 1, "secret_key": "b"},
    {"access_key": "a\r\nX-Other: b", "secret_key": "b"},
    {"access_key": "x" * 10_000, "secret_key": "b"},
    ["access_key", "secret_key"],
    "text",
]


@pytest.mark.parametrize("key", WRONG_KEYS)
async def test_what_is_no_key_is_refused(broker, key):
    assert (await broker.ask("PUT", "/keys/mtd", json={"key": key})).status_code == 400


@pytest.mark.parametrize("provider", ["nobody", "geodes", "..", "mtd%2f.."])
async def test_a_key_for_whom_the_broker_does_not_sign_is_refused(broker, provider):
    answer = await broker.ask("PUT", f"/keys/{provider}", json={"key": {"a": "b"}})
    assert answer.status_code in {400, 404}


async def test_rights_say_what_is_missing_and_what_may_be_ordered(broker):
    mine = (await broker.ask("GET", "/rights")).json()
    assert mine["user"] == "ana"
    (right,) = mine["rights"]
    assert right["allowed"]
    assert right["orders"] == [{"product": "THR", "free_km2": 4500, "beyond_eur_km2": None}]
    (other,) = (await broker.ask("GET", "/rights", token="bob")).json()["rights"]
    assert not other["allowed"]
    assert other["how"]["fr"] == "Signez la charte."


async def test_the_book_says_who_had_what_signed_and_who_was_refused(broker):
    licensed = broker.upstream.href("licensed/b.tif")
    await broker.sign(licensed)
    await broker.sign(licensed, token="bob")
    signed, refused = (json.loads(line) for line in broker.book.splitlines())
    assert (signed["user"], signed["outcome"], signed["rule"], signed["provider"]) == ("ana", "signed", "test", "mtd")
    assert (refused["user"], refused["outcome"]) == ("bob", "refused")
    assert signed["urls"] == refused["urls"] == [licensed]


async def test_no_answer_no_line_and_no_file_holds_a_key(broker, capfd, caplog):
    answers = [
        await broker.sign(broker.upstream.href("open/a.tif")),
        await broker.ask("PUT", "/keys/mtd", json={"key": KEY}),
        await broker.ask("GET", "/keys"),
        await broker.ask("PUT", "/keys/nobody", json={"key": KEY}),
        await broker.ask("PUT", "/keys/mtd?key=planted-secret", json={"key": KEY}),
    ]
    broker.upstream.state = "refusing"
    answers.append(await broker.sign(broker.upstream.href("open/c.tif")))
    out, err = capfd.readouterr()
    said = "".join(answer.text for answer in answers) + out + err + caplog.text + broker.book + repr(broker.vault)
    kept = b"".join(path.read_bytes() for path in broker.folder.rglob("*") if path.is_file())
    for secret in ("planted-secret", "planted-access"):
        assert secret not in said
        assert secret.encode() not in kept
    assert "token" not in broker.book
