"""Every route: signed in, by schema, and refusing in words."""

import json

import pytest
from jsonschema import Draft202012Validator
from tornado.httpclient import HTTPClientError

from earthlab.errors import AskLess, BadRequest, EarthlabError
from earthlab_lab.app import plan_handlers
from earthlab_lab.refusals import render_refusal, status_of
from earthlab_lab.routes import MOST_BYTES, RouteHandler, Stream
from tests.lab.conftest import all_routes

ROUTES = all_routes()


def example_of(path):
    """A path that a pattern matches, whatever it wants."""
    return path.split("(")[0].rstrip("/") or path


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_who_is_not_signed_in_gets_no_further(route, jp_fetch, jp_asyncio_loop, bare_environment):
    body = None if route.method in {"GET", "DELETE"} else "{}"
    asking = jp_fetch(
        "earthlab",
        *example_of(route.path).split("/"),
        method=route.method,
        body=body,
        headers={"Authorization": "", "Cookie": ""},
        follow_redirects=False,
    )
    with pytest.raises(HTTPClientError) as refused:
        jp_asyncio_loop.run_until_complete(asking)
    assert refused.value.code in {302, 403, 404}
    if "(" not in route.path:
        assert refused.value.code in {302, 403}


def test_each_handler_asks_who_is_there_before_all_else():
    for method in ("get", "post", "delete"):
        handler = getattr(RouteHandler, method)
        assert handler.__wrapped__.__wrapped__.__name__ == method
    assert {kind for _, kind, _ in plan_handlers(ROUTES, "/")} == {RouteHandler}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_is_taken_and_given_is_described(route):
    Draft202012Validator.check_schema(route.takes)
    assert route.takes.get("additionalProperties") is False
    if isinstance(route, Stream):
        assert route.gives is not None
    if route.gives is not None:
        Draft202012Validator.check_schema(route.gives)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "request"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"question": {}, "cube": {}, "path": "/etc/passwd"}', "path"),
        ('{"question": {"bbox": [1, 2, 3]}, "cube": {}}', "question.bbox"),
        ('{"question": {"time": 7}, "cube": {}}', "question.time"),
    ],
)
def test_what_is_no_request_is_refused_with_the_name_of_what_is_wrong(body, said, jp_fetch, jp_asyncio_loop):
    with pytest.raises(HTTPClientError) as refused:
        jp_asyncio_loop.run_until_complete(jp_fetch("earthlab", "cell", method="POST", body=body))
    answer = json.loads(refused.value.response.body)
    assert refused.value.code == 400
    assert answer["code"] == "BadRequest"
    assert said in answer["message"]
    assert answer["remedy"] == "Modifiez la demande."
    assert b"Traceback" not in refused.value.response.body


def test_a_body_that_is_too_long_is_not_read(ask):
    assert ask("POST", "cell", {"question": {"place": "x" * MOST_BYTES}, "cube": {}}).status == 400


def test_another_method_is_refused_in_words(ask):
    refused = ask("DELETE", "cell")
    assert (refused.status, refused.said["code"]) == (405, "HTTP405")


def test_of_a_fault_of_ours_nothing_is_told_but_that_it_was_one(ask, monkeypatch):
    def fail():
        raise ValueError("the-secret-path")

    monkeypatch.setattr("earthlab_lab.vocabulary.read_vocabulary", fail)
    answer = ask("GET", "vocabulary")
    assert answer.status == 500
    assert answer.said["code"] == "Fault"
    assert b"the-secret-path" not in answer.body


@pytest.mark.parametrize(("kind", "status"), [(BadRequest, 400), (AskLess, 413), (EarthlabError, 500)])
def test_refusals_have_a_status_and_a_remedy_in_both_languages(kind, status):
    assert status_of(kind("found")) == status
    french, english = (render_refusal(kind("found"), language) for language in ("fr", "en"))
    assert french["message"] == english["message"] == "found"
    assert french["remedy"] != english["remedy"]


def test_a_refusal_comes_in_the_language_of_who_reads_it(ask):
    french, english = (ask("POST", "clusters", {}, language=each).said["message"] for each in ("fr", "en-GB"))
    assert french.startswith("Aucune passerelle")
    assert english.startswith("No gateway")
    assert "|" not in french + english


def test_what_is_not_said_in_two_languages_is_said_whole():
    for message in ("band 'a | b | c' is unknown.", "plain"):
        assert render_refusal(BadRequest(message), "fr")["message"] == message


def test_a_refusal_of_a_narrower_kind_has_the_name_of_the_one_people_know():
    class Narrower(AskLess):
        pass

    assert render_refusal(Narrower("less"), "en")["code"] == "AskLess"
