"""How services start: with the hub's token and address, or with one line that says what to do."""

import asyncio
import subprocess
import sys

import pytest

from earthlab.errors import SetupError
from earthlab.services.signing.__main__ import serve as serve_signing
from earthlab.services.ssh.__main__ import serve as serve_ssh
from earthlab.services.starting import resolve_start, run_service
from earthlab.services.workshops.__main__ import serve as serve_workshops

HUB = {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "JUPYTERHUB_SERVICE_NAME": "it"}
GIVEN = {"JUPYTERHUB_API_TOKEN": "abc", "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:8007"}


def refuse():
    raise SetupError("no hub: make lab.")


def fail():
    raise ValueError("a fault of ours")


def test_a_service_that_cannot_start_ends_with_one_line(capsys):
    assert run_service(refuse) == 1
    assert capsys.readouterr() == ("", "no hub: make lab.\n")


def test_a_service_that_was_told_to_end_ends_well_and_says_nothing(capsys):
    assert run_service(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ValueError, match="a fault of ours"):
        run_service(fail)


def test_the_hub_gives_a_token_and_an_address():
    assert resolve_start(GIVEN, "no") == ("abc", "127.0.0.1", 8007)


@pytest.mark.parametrize(
    "lacking",
    [
        {"JUPYTERHUB_API_TOKEN": ""},
        {"JUPYTERHUB_SERVICE_URL": ""},
        {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1"},
        {"JUPYTERHUB_SERVICE_URL": "http://:8007"},
        {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:service"},
    ],
)
def test_what_the_hub_has_not_given_is_refused_in_the_services_own_words(lacking):
    with pytest.raises(SetupError, match=r"^started by the hub: make lab\.$"):
        resolve_start(GIVEN | lacking, "started by the hub: make lab.")


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (serve_signing, "The signing broker is started by the hub, which gives it a token and an address: make lab."),
        (serve_workshops, "The workshops are started by the hub, which gives them a token and an address: make lab."),
        (serve_ssh, "The ssh door is started by the hub, which gives it a token: make lab."),
    ],
)
def test_each_service_says_who_starts_it(serve, words, tmp_path, capsys):
    environ = HUB | {"EARTHLAB__LAB__STATE": str(tmp_path), "EARTHLAB__LAB__ACCOUNTS": "shared"}

    def start():
        pending = serve(environ)
        if pending is not None:
            asyncio.run(pending)

    assert run_service(start) == 1
    assert capsys.readouterr().err == f"{words}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_waits_for_nothing_that_serves():
    heavy = {"uvicorn", "starlette", "tornado", "asyncssh", "jupyterhub"}
    loaded = f"import earthlab.services.starting, sys; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
