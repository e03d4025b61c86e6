"""Asking politely: what is kept, what never is, and how long anyone waits."""

import gzip
import logging
import sqlite3
import stat
import threading
import time

import pytest

from earthlab.catalog.session import USER_AGENT, open_service, open_session
from earthlab.errors import BadRequest, CatalogueUnavailable, FallbackWarning, NotAllowed
from earthlab.settings import load_settings
from earthlab.testing.providers import busy, fixed, json_answer, provider, slow, tagged

HELLO = json_answer({"hello": 1})


@pytest.fixture(autouse=True)
def home(bare_environment, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return bare_environment


def settings(**words):
    return load_settings({f"catalogue.{name}": value for name, value in {"timeout": 2, "retries": 2, **words}.items()})


def cache_file(home):
    return home / ".cache" / "earthlab" / "catalogues" / "answers.sqlite"


def test_an_answer_is_revalidated_and_not_sent_again(home):
    with provider(tagged(fixed(HELLO))) as running:
        for _ in range(2):
            assert open_service(running.url, settings()).get_json(running.url) == {"hello": 1}
        first, second = running.requests
    assert "If-None-Match" not in first.headers
    assert "If-None-Match" in second.headers
    assert {r.headers["User-Agent"] for r in running.requests} == {USER_AGENT}
    assert stat.S_IMODE(cache_file(home).parent.stat().st_mode) == 0o700


def test_a_lifetime_that_the_server_states_is_believed():
    with provider(tagged(fixed(HELLO), **{"Cache-Control": "max-age=60"})) as running:
        service = open_service(running.url, settings())
        assert service.get_json(running.url) == service.get_json(running.url)
        assert len(running.requests) == 1


def test_what_may_not_or_cannot_be_revalidated_is_not_kept():
    with provider(fixed(HELLO)) as plain, provider(tagged(fixed(HELLO), **{"Cache-Control": "no-store"})) as secret:
        for running in (plain, secret):
            service = open_service(running.url, settings())
            service.get_json(running.url)
            service.get_json(running.url)
            assert [r.headers.get("If-None-Match") for r in running.requests] == [None, None]


def test_nothing_that_a_credential_opened_is_kept(home):
    with provider(tagged(fixed(HELLO), **{"Cache-Control": "max-age=60"})) as running:
        service = open_service(running.url, settings(), lambda _: {"X-API-Key": "CLEF"})
        service.get_json(running.url)
        service.get_json(running.url)
        plain = open_session(settings())
        plain.get(running.url, headers={"authorization": "Bearer CLEF"})
        plain.get(f"{running.url}?token=CLEF")
        plain.get(running.url.replace("//", "//user:CLEF@"))
        assert len(running.requests) == 5
    assert b"CLEF" not in cache_file(home).read_bytes()
    assert b"hello" not in cache_file(home).read_bytes()


def test_a_credential_is_decided_anew_where_a_redirect_leads():
    with provider(fixed(HELLO)) as other:
        away = (302, "text/plain", b"", {"Location": other.url})
        with provider(fixed(away)) as first:
            own = {first.url: {"X-Strange-Key": "CLEF"}}
            open_service(first.url, settings(), lambda url: own.get(url, {})).get(first.url)
        assert first.requests[0].headers["X-Strange-Key"] == "CLEF"
    assert "X-Strange-Key" not in other.requests[0].headers


def test_a_credential_is_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    with provider(fixed(HELLO)) as running:
        open_service(running.url, settings(), lambda _: {"X-API-Key": "CLEF"}).get(running.url)
    assert caplog.records
    assert "CLEF" not in caplog.text


def test_neither_cookies_nor_netrc_are_sent(home, monkeypatch):
    (home / ".netrc").write_text("machine 127.0.0.1 login un password CLEF\n")
    (home / ".netrc").chmod(0o600)
    with provider(lambda _: (200, "text/plain", b"", {"Set-Cookie": "a=b; Path=/"})) as running:
        session = open_session(settings())
        session.get(running.url)
        session.get(running.url)
    assert not any({"Cookie", "Authorization"} & r.headers.keys() for r in running.requests)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(status):
    with provider(busy(fixed(HELLO), retry_after="1", status=status)) as running:
        began = time.monotonic()
        assert open_service(running.url, settings()).post_json(running.url, {}) == {"hello": 1}
        assert time.monotonic() - began >= 1
        assert len(running.requests) == 2


@pytest.mark.parametrize("pause", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_longer_pause_than_anyone_would_wait_is_told_and_kept(pause):
    with provider(busy(fixed(HELLO), retry_after=pause)) as running:
        began = time.monotonic()
        with pytest.raises(CatalogueUnavailable, match=r"answered 429 and asks to come again in \d+ s"):
            open_service(running.url, settings()).get(running.url)
        assert time.monotonic() - began < 60
        assert len(running.requests) == 1


def test_a_service_that_stays_busy_is_left():
    with provider(busy(fixed(HELLO), times=9)) as running:
        with pytest.raises(CatalogueUnavailable, match="answered 429"):
            open_service(running.url, settings()).get(running.url)
        assert len(running.requests) == 3


def test_a_slow_service_is_left_after_the_timeout():
    with provider(slow(fixed(HELLO), 3)) as running, pytest.raises(CatalogueUnavailable, match=r"within 0.3 s"):
        open_service(running.url, settings(timeout=0.3, retries=0)).get(running.url)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, NotAllowed), (403, NotAllowed), (400, BadRequest), (500, CatalogueUnavailable)]
)
def test_a_refusal_is_sorted_by_what_can_be_done(status, kind):
    with provider(fixed(json_answer({"description": "parce que"}, status))) as running, pytest.raises(kind):
        open_service(running.url, settings()).get(running.url)


def test_the_cache_is_bounded(home):
    def behave(request):
        return tagged(fixed((200, "text/plain", request.path.encode() * 1000)))(request)

    with provider(behave) as running:
        for _ in range(2):
            session = open_session(settings(cache="100 kB"))
            for n in range(60):
                session.get(f"{running.url}{n:06d}")
            assert cache_file(home).stat().st_size < 200_000


def test_a_cache_that_is_broken_is_begun_anew(home):
    cache_file(home).parent.mkdir(parents=True)
    cache_file(home).write_bytes(b"this is no database, but it is long enough to be taken for one" * 20)
    with provider(tagged(fixed(HELLO))) as running:
        open_session(settings()).get(running.url)
    assert sqlite3.connect(cache_file(home)).execute("select count(*) from responses").fetchone() == (1,)


def test_a_cache_that_cannot_be_written_takes_no_answer_away(home):
    (home / ".cache").write_text("a file in the way")
    with provider(fixed(HELLO)) as running, pytest.warns(FallbackWarning, match="are not kept"):
        assert open_service(running.url, settings()).get_json(running.url) == {"hello": 1}


def test_a_cache_that_is_locked_takes_no_answer_away(home, monkeypatch):
    with provider(tagged(fixed(HELLO))) as running:
        session = open_session(settings())
        session.get(running.url)
        session.cache.responses.connection_kwargs = {"timeout": 0.1}
        session.cache.responses.close()
        other = sqlite3.connect(cache_file(home), isolation_level=None)
        other.execute("begin exclusive")
        assert session.get(running.url).json() == {"hello": 1}
        other.close()


def test_many_threads_share_one_session():
    with provider(tagged(fixed(HELLO))) as running:
        service = open_service(running.url, settings())
        answers = []
        threads = [
            threading.Thread(target=lambda n=n: answers.append(service.get_json(f"{running.url}{n % 3}")))
            for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [{"hello": 1}] * 12


def test_an_address_that_is_none_is_refused():
    with pytest.raises(BadRequest, match="expected the http"):
        open_service("ftp://x/", settings())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("credential", [None, lambda _: {"X-API-Key": "CLEF"}])
def test_an_answer_without_measure_is_not_taken(monkeypatch, packed, credential):
    monkeypatch.setattr("earthlab.catalog.session.MOST_BYTES", 1_000_000)
    body = b'{"a": "' + b" " * 20_000_000 + b'"}'
    sent = gzip.compress(body) if packed else body
    headers = {"Content-Encoding": "gzip"} if packed else {}
    with provider(lambda _: (200, "application/json", sent, headers)) as running:
        service = open_service(running.url, settings(), credential)
        with pytest.raises(CatalogueUnavailable, match="sends more than 1,000,000 bytes at once") as refused:
            service.get_json(f"{running.url}?token=CLEF")
    assert "CLEF" not in str(refused.value)


def test_a_redirect_has_no_answer_without_measure_either(monkeypatch):
    monkeypatch.setattr("earthlab.catalog.session.MOST_BYTES", 1_000_000)
    with provider(lambda r: (302, "text/plain", b" " * 5_000_000, {"Location": f"{r.root}x"})) as running:
        service = open_service(running.url, settings())
        with pytest.raises(CatalogueUnavailable, match="at once"):
            service.get(running.url)
