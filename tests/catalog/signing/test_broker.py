"""What a user's terminal says to the broker, over real HTTP."""

import json
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from earthlab.catalog.signing import forget_signers, sign
from earthlab.catalog.signing.broker import forget_key, keep_key, kept_keys, key_parts, my_rights
from earthlab.cli import main
from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, NotAllowed, NothingFound, SetupError
from earthlab.hub.kubernetes import plan_pod_environment
from earthlab.settings import load_settings

RIGHT = {
    "id": "dinamis",
    "title": {"fr": "Charte", "en": "Charter"},
    "allowed": False,
    "reason": {"fr": "Réservé.", "en": "Reserved."},
    "how": {"fr": "Signez.", "en": "Sign."},
}


class Desk:
    """Answers as the broker does, and notes what it was asked."""

    def __init__(self):
        self.asked, self.answers = [], {"GET rights": (200, {"rights": [RIGHT]})}
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                what = f"{self.command} {self.path.removeprefix('/services/signing/')}"
                desk.asked.append((what, body, self.headers["Authorization"]))
                status, answer = desk.answers.get(what, (404, {"description": "nothing there"}))
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_DELETE = reply  # noqa: N815 - the base class calls them so

            def log_message(self, *_):
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/signing"


@pytest.fixture
def desk(monkeypatch, bare_environment):
    found = Desk()
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", found.url)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "mine")
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_rights_are_asked_with_the_users_own_token_and_shown_in_both_languages(desk, capsys):
    assert my_rights() == [RIGHT]
    assert desk.asked[0][2] == "token mine"
    assert main(["rights"]) == 0
    said = capsys.readouterr().out
    assert "✗ Charte · Charter" in said
    assert "Réservé. Signez." in said
    assert "Reserved. Sign." in said


def test_on_a_cluster_the_broker_is_behind_the_proxys_name_and_files_need_nobody(desk, capsys, monkeypatch, tmp_path):
    """Another name of this machine than those that a key may always go to, as `proxy-public` is one of a cluster."""
    services = desk.url.replace("127.0.0.1", "127.0.0.2").removesuffix("/signing")
    words = plan_pod_environment(load_settings({"kubernetes.services": services}, environ={}, files=()))
    for name in ("EARTHLAB_SERVICES", "EARTHLAB__CATALOGUE__SIGNING"):
        monkeypatch.setenv(name, words[name])
    forget_signers()
    assert sign(str(tmp_path / "here.tif")).href == str(tmp_path / "here.tif")
    desk.answers["GET rights"] = (200, {"rights": [RIGHT]})
    assert main(["rights"]) == 0
    assert "Charter" in capsys.readouterr().out


def test_a_key_is_typed_unseen_and_sent_in_the_body_alone(desk, capsys, monkeypatch):
    desk.answers["PUT keys/mtd"] = (200, {"kept": "mtd"})
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"planted-{prompt.split()[1]}")
    assert main(["keys", "put", "mtd"]) == 0
    what, body, _ = desk.asked[-1]
    assert what == "PUT keys/mtd"
    assert json.loads(body) == {"key": {part: f"planted-{part}:" for part in key_parts("mtd")}}
    assert "planted" not in capsys.readouterr().out


def test_keys_are_listed_by_provider_and_removed(desk, capsys):
    desk.answers["GET keys"] = (200, {"known": ["mtd", "other"], "kept": ["mtd"]})
    desk.answers["DELETE keys/mtd"] = (200, {"removed": "mtd"})
    assert kept_keys() == (("mtd", "other"), ("mtd",))
    assert main(["keys"]) == 0
    assert "mtd: clé gardée · key kept\nother: pas de clé · no key\n" in capsys.readouterr().out
    assert main(["keys", "remove", "mtd"]) == 0
    with pytest.raises(NothingFound, match="nothing there"):
        forget_key("other")


def test_a_key_of_nobody_is_refused(desk, capsys):
    assert main(["keys", "put"]) == 2
    assert "whose key" in capsys.readouterr().err
    with pytest.raises(BadRequest):
        key_parts("nobody")


@pytest.mark.parametrize(("status", "refusal"), [(400, BadRequest), (403, NotAllowed), (500, CatalogueUnavailable)])
def test_a_refusal_is_said_in_the_brokers_words(desk, status, refusal):
    desk.answers["PUT keys/mtd"] = (status, {"description": "because"})
    with pytest.raises(refusal, match="because") as raised:
        keep_key("mtd", {"access_key": "planted-secret"})
    assert "planted-secret" not in str(raised.value)


def test_a_broker_that_is_away_and_none_at_all_are_told_apart(monkeypatch, desk):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", "http://127.0.0.1:9/services/signing")
    with pytest.raises(CatalogueUnavailable, match="does not answer"):
        my_rights()
    monkeypatch.delenv("EARTHLAB__CATALOGUE__SIGNING")
    with pytest.raises(SetupError, match="terminal or a notebook of the lab"):
        my_rights()


def shown(act):
    """All that a notebook could show of a failure: every frame with its variables, and every cause."""
    with pytest.raises(EarthlabError) as raised:
        act()
    own = [frame for frame in traceback.walk_tb(raised.tb) if frame[0].f_globals["__name__"] != __name__]
    locals_ = [f"{frame.f_code.co_name}: {frame.f_locals}" for frame, _ in own]
    causes = traceback.TracebackException.from_exception(raised.value).format()
    assert raised.value.__cause__ is None is raised.value.__context__
    return "\n".join([*locals_, *causes])


@pytest.mark.parametrize("away", [False, True])
def test_no_traceback_shows_a_key_or_the_token(desk, monkeypatch, away):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "planted-token")
    if away:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", "http://127.0.0.1:9/services/signing")
    key = {"access_key": "planted-access", "secret_key": "planted-secret"}
    for act in (lambda: keep_key("mtd", key), lambda: forget_key("mtd"), kept_keys):
        assert "planted" not in shown(act)


@pytest.mark.parametrize(
    "url", ["http://broker.example.org/", "http://mallory@127.0.0.1/", "ftp://broker.example.org/"]
)
def test_neither_token_nor_key_leaves_in_the_open(desk, monkeypatch, url):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNING", url)
    with pytest.raises(BadRequest, match="is not https"):
        keep_key("mtd", {"access_key": "planted"})


def test_a_provider_is_one_word_of_the_brokers_address(desk):
    with pytest.raises(NothingFound):
        forget_key("../rights?x")
    assert desk.asked[-1][0] == "DELETE keys/..%2Frights%3Fx"
