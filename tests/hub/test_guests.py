"""Whoever may not be in a seat's server any longer is out of it at once, whatever line they came by."""

from contextlib import asynccontextmanager

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from earthlab.hub.guests import Door, note_lines

OWNER, GUEST, TRAINER = "atelier-neige-001", "atelier-neige-002", "ben"


class Person:
    def __init__(self, username):
        self.username = username


class Line(WebSocketHandler):
    """As Jupyter's: who it is was found out before the line is open."""

    def prepare(self):
        name = self.get_query_argument("user", "")
        self.current_user = Person(name) if name else None

    async def get(self, *args, **kwargs):
        await super().get(*args, **kwargs)

    def on_message(self, message):
        self.write_message(message)


@pytest.fixture
async def lines():
    note_lines()
    # Twice is once.
    note_lines()
    listener, port = bind_unused_port()
    server = HTTPServer(Application([("/", Line)]))
    server.add_socket(listener)

    @asynccontextmanager
    async def connect(user):
        line = await websocket_connect(f"ws://127.0.0.1:{port}/?user={user}")
        yield line
        line.close()

    yield connect
    server.stop()
    await server.close_all_connections()


async def echo(line):
    await line.write_message("à deux")
    return await line.read_message()


async def test_who_is_let_in_stays_and_who_may_not_stay_is_shown_out(lines):
    door = Door(OWNER)
    async with lines(OWNER) as own, lines(GUEST) as guest, lines(TRAINER) as trainer:
        door.admit([GUEST, TRAINER])
        assert [await echo(line) for line in (own, guest, trainer)] == ["à deux"] * 3
        door.admit([TRAINER])
        assert await guest.read_message() is None
        assert guest.close_code == 1008
        assert [await echo(line) for line in (own, trainer)] == ["à deux"] * 2
        door.admit([])
        assert await trainer.read_message() is None
        assert await echo(own) == "à deux"


async def test_a_line_of_nobody_known_is_no_guest_s(lines):
    async with lines("") as line:
        Door(OWNER).admit([])
        assert await line.read_message() is None


async def test_who_comes_back_after_the_end_is_shown_out_again(lines):
    door = Door(OWNER)
    door.admit([])
    async with lines(GUEST) as guest:
        door.admit([])
        assert await guest.read_message() is None
