"""Frames are what jupyter_server reads and writes; pictures are told from tables and progress bars."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

from earthlab.rehearsal.messages import Message, execute, is_picture, pack, unpack, widget_model

CONTENT = st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.booleans()), max_size=4)


@given(
    channel=st.sampled_from(["shell", "control", "stdin"]), content=CONTENT, buffers=st.lists(st.binary(), max_size=3)
)
def test_the_server_reads_what_we_send(channel: str, content: dict, buffers: list[bytes]) -> None:
    frame = pack(Message(channel, "comm_msg", "m1", content, buffers=tuple(buffers)), "s1")
    where, parts = deserialize_msg_from_ws_v1(frame)
    header, parent, metadata, found, *rest = parts
    assert where == channel
    assert json.loads(header)["msg_id"] == "m1"
    assert json.loads(header)["session"] == "s1"
    assert (json.loads(parent), json.loads(metadata)) == ({}, {})
    assert json.loads(found) == content
    assert rest == buffers


@given(content=CONTENT, buffers=st.lists(st.binary(), max_size=3))
def test_we_read_what_the_server_sends(content: dict, buffers: list[bytes]) -> None:
    message = {
        "header": {"msg_id": "m2", "msg_type": "stream"},
        "parent_header": {"msg_id": "m1"},
        "metadata": {},
        "content": content,
    }
    parts = [json.dumps(message[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
    frame = serialize_msg_to_ws_v1([*parts, *buffers], "iopub")
    assert unpack(frame) == Message("iopub", "stream", "m2", content, "m1", tuple(buffers))


def test_a_cell_is_asked_for_with_everything_jupyterlab_asks() -> None:
    sent = execute("1 + 1")
    assert (sent.channel, sent.msg_type) == ("shell", "execute_request")
    assert sent.content["code"] == "1 + 1"
    assert sent.content["store_history"]
    assert not sent.content["silent"]


@pytest.mark.parametrize(
    "data",
    [
        {"image/png": "iVBO"},
        {"image/svg+xml": "<svg/>"},
        {"text/html": "<iframe srcdoc='…'></iframe>"},
        {"text/html": "<figure><svg viewBox='0 0 1 1'/></figure>"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "map"}},
    ],
)
def test_what_is_drawn_is_a_picture(data: dict) -> None:
    assert is_picture(Message("iopub", "execute_result", "m", {"data": data}), {"map": "LeafletMapModel"})


@pytest.mark.parametrize(
    "data",
    [
        {"text/plain": "3"},
        {"text/html": "<table><tr><td>3</td></tr></table>"},
        {"text/html": "<div class='xr-wrap'><svg class='xr-icon-database'/></div>"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "bar"}},
    ],
)
def test_a_table_an_icon_and_a_bar_of_progress_are_no_pictures(data: dict) -> None:
    assert not is_picture(Message("iopub", "execute_result", "m", {"data": data}), {"bar": "FloatProgressModel"})


def test_what_is_printed_is_no_picture() -> None:
    assert not is_picture(Message("iopub", "stream", "m", {"text": "<svg>"}), {})


def test_a_widget_is_known_by_its_model() -> None:
    content = {"target_name": "jupyter.widget", "comm_id": "c", "data": {"state": {"_model_name": "LeafletMapModel"}}}
    assert widget_model(Message("iopub", "comm_open", "m", content)) == ("c", "LeafletMapModel")
    assert widget_model(Message("iopub", "comm_open", "m", content | {"target_name": "other"})) is None
    assert widget_model(Message("iopub", "stream", "m", content)) is None
