"""What a server tells of its user's way through a workshop: steps of known cells, in order, each once, nothing else."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from earthlab.hub import progress
from earthlab.hub.progress import Follower, Outbox, Progress, Sender, parse_syllabus, resolve_progress
from tests.patience import PATIENCE


def follow():
    told = []
    return Follower(lambda *step: told.append(step)), told


def run(follower, message, cell, *said):
    follower.on_request(message, cell)
    follower.on_said(message, "status", {"execution_state": "busy"})
    for kind, content in said:
        follower.on_said(message, kind, content)
    follower.on_said(message, "status", {"execution_state": "idle"})


INPUT = ("execute_input", {"code": "secret = 1"})


def test_a_cell_runs_and_is_done():
    follower, told = follow()
    run(follower, "m1", "c1", INPUT, ("stream", {"text": "42"}))
    assert told == [("c1", "running", ""), ("c1", "done", "")]


def test_a_cell_that_fails_tells_the_class_of_its_error_and_not_its_words():
    follower, told = follow()
    run(follower, "m1", "c1", INPUT, ("error", {"ename": "ZeroDivisionError", "evalue": "my secret", "traceback": []}))
    assert told[-1] == ("c1", "failed", "ZeroDivisionError")
    assert "secret" not in repr(told)


@pytest.mark.parametrize("name", ["E" * 81, "my secret is 42", "", "é", "x\ny", None])
def test_a_class_of_error_is_the_users_own_word_and_says_nothing_but_a_name(name):
    follower, told = follow()
    run(follower, "m1", "c1", INPUT, ("error", {"ename": name} if name is not None else {}))
    assert told[-1] == ("c1", "failed", "Error")


def test_cells_that_are_turned_away_after_a_failed_one_were_not_reached():
    follower, told = follow()
    run(follower, "m2", "c2")
    assert told == []


def test_what_is_not_a_cell_of_the_page_is_not_followed():
    follower, told = follow()
    follower.on_said("of-an-extension", "execute_input", {})
    follower.on_said("of-an-extension", "status", {"execution_state": "idle"})
    assert told == []


def test_a_kernel_that_dies_fails_the_cell_it_ran_and_not_those_that_waited():
    follower, told = follow()
    for message, cell in (("m1", "c1"), ("m2", "c2")):
        follower.on_request(message, cell)
    follower.on_said("m1", *INPUT)
    follower.on_death()
    follower.on_said("m2", *INPUT)
    assert told == [("c1", "running", ""), ("c1", "failed", "KernelDied")]


def test_only_cells_that_the_workshop_has_handed_out_are_known():
    syllabus = parse_syllabus({"premiers-pas.ipynb": ["a", "b"]})
    assert syllabus.knows("premiers-pas.ipynb", "a")
    assert not syllabus.knows("premiers-pas.ipynb", "of-my-own")
    assert not syllabus.knows("my-diary.ipynb", "a")


@given(st.lists(st.integers(0, 60), max_size=40))
def test_events_are_numbered_without_gaps_and_kept_until_they_are_confirmed(confirmed):
    outbox, highest = Outbox("run", clock=lambda: 5.0), 0
    for number, upto in enumerate(confirmed, start=1):
        outbox.put("n", "c", "done")
        outbox.confirm(min(upto, number))
        highest = max(highest, min(upto, number))
        assert [event.seq for event in outbox.first()] == list(range(highest + 1, number + 1))


def test_where_nobody_confirms_the_oldest_are_given_up_and_the_numbers_tell_it(monkeypatch):
    outbox = Outbox()
    for _ in range(2500):
        outbox.put("n", "c", "done")
    assert outbox.first()[0].seq == 501
    assert len(outbox.first()) == 200


def test_two_runs_of_a_server_are_told_apart():
    assert Outbox().instance != Outbox().instance


def test_a_server_tells_its_progress_at_a_workshop_only():
    services = {"EARTHLAB_SERVICES": "http://127.0.0.1:8000/services/"}
    assert resolve_progress(services) is None
    assert resolve_progress({"EARTHLAB_WORKSHOP": "corse"}) is None
    assert resolve_progress(services | {"EARTHLAB_WORKSHOP": "corse"}) is not None


@asynccontextmanager
async def service(answers):
    """The workshops' service as far as a sender sees it: notes what comes, answers with these statuses, then 200."""
    heard = []

    class Events(RequestHandler):
        def post(self):
            heard.append((self.request.headers["Authorization"], json.loads(self.request.body)))
            if answers:
                self.set_status(answers.pop(0))
            self.write({"unlocked": 2, "syllabus": 3})

    class Syllabus(RequestHandler):
        def get(self):
            self.write({"revision": 3, "folder": "ateliers/corse", "cells": {"a.ipynb": ["c1", "c2"]}})

    socket, port = bind_unused_port()
    server = HTTPServer(Application([("/events", Events), ("/api/events", Events), ("/api/syllabus", Syllabus)]))
    server.add_socket(socket)
    yield heard, f"http://127.0.0.1:{port}/events"
    server.stop()
    await server.close_all_connections()


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(progress, "_AT_MOST_EVERY", 0.02)
    monkeypatch.setattr(progress, "_SIGN_OF_LIFE_EVERY", 0.05)


async def until(done):
    async with asyncio.timeout(PATIENCE):
        while not done():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("answers", [[], [503, 500], [401]])
async def test_steps_reach_the_service_in_order_also_where_it_does_not_answer_at_first(hurried, answers):
    heeded = []
    async with service(list(answers)) as (heard, address):
        sender = Sender(address, "of-the-server", heeded.append)
        sending = asyncio.create_task(sender.run())
        sender.tell("n", "c1", "running")
        sender.tell("n", "c1", "failed", "ValueError")
        await until(lambda: len(heeded) > 1)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    tokens, bodies = zip(*heard, strict=True)
    assert set(tokens) == {"token of-the-server"}
    assert {body["instance"] for body in bodies} == {sender.outbox.instance}
    accepted = [event for body in bodies[len(answers) :] for event in body["events"]]
    assert [(event["seq"], event["cell"], event["state"], event["error"]) for event in accepted] == [
        (1, "c1", "running", ""),
        (2, "c1", "failed", "ValueError"),
    ]
    assert set(accepted[0]) == {"seq", "notebook", "cell", "state", "error", "at"}
    assert heeded[0] == {"unlocked": 2, "syllabus": 3}


async def test_what_the_service_never_takes_does_not_keep_the_rest_from_being_heard(hurried):
    heeded = []
    async with service([400]) as (heard, address):
        sender = Sender(address, "of-the-server", heeded.append)
        sender.tell("n", "c1", "done")
        sending = asyncio.create_task(sender.run())
        await until(lambda: heard)
        sender.tell("n", "c2", "done")
        await until(lambda: sum(bool(body["events"]) for _, body in heard) == 2)
        sending.cancel()
    assert [event["seq"] for _, body in heard for event in body["events"]] == [1, 2]


async def test_a_sender_whose_seat_was_revoked_stops(hurried):
    async with service([403]) as (heard, address):
        sender = Sender(address, "of-the-server", list)
        async with asyncio.timeout(PATIENCE):
            await sender.run()
        assert len(heard) == 1


async def test_a_sender_that_finds_nobody_keeps_all_for_later(hurried):
    socket, port = bind_unused_port()
    socket.close()
    sender = Sender(f"http://127.0.0.1:{port}/events", "of-the-server", list)
    sending = asyncio.create_task(sender.run())
    sender.tell("n", "c", "done")
    await asyncio.sleep(0.2)
    assert not sending.done()
    assert [event.seq for event in sender.outbox.first()] == [1]
    sending.cancel()


def test_a_token_shows_in_no_repr():
    assert "of-the-server" not in repr(Sender("http://x/events", "of-the-server", list))


async def test_only_the_workshops_own_cells_are_told_also_what_ran_before_the_service_has_named_them(hurried):
    async with service([]) as (heard, address):
        progress = Progress(address.removesuffix("/events"), "of-the-server")
        progress.tell("ateliers/corse/a.ipynb", "c1", "done", "")
        progress.tell("ateliers/corse/a.ipynb", "of-my-own", "done", "")
        progress.start()
        await until(lambda: len(heard) > 2)
        for path, cell in (
            ("ateliers/corse/a.ipynb", "c2"),
            ("ateliers/corse/a.ipynb", "of-my-own"),
            ("ateliers/corse/b.ipynb", "c1"),
            ("a.ipynb", "c1"),
            ("ateliers/corse-2/a.ipynb", "c1"),
            ("", "c1"),
        ):
            progress.tell(path, cell, "done", "")
        await until(lambda: any(event["cell"] == "c2" for _, body in heard for event in body["events"]))
        for task in progress._tasks:
            task.cancel()
    told = [event for _, body in heard for event in body["events"]]
    assert [(event["notebook"], event["cell"]) for event in told] == [("a.ipynb", "c1"), ("a.ipynb", "c2")]
