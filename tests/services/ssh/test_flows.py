"""Bytes through pipes: all of them, in order, and no more than somebody takes."""

import asyncio
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.services.ssh.flows import MUCH, Sink, Source
from tests.patience import PATIENCE, eventually_async


def _pipe():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    return reading, writing


async def _read_all(file: int) -> bytes:
    found, ended = bytearray(), asyncio.Event()
    source = Source(file, found.extend, ended.set)
    source.resume()
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert source.count == len(found)
    return bytes(found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200_000), max_size=20), st.integers(0, 20))
def test_all_bytes_come_in_order_also_those_that_came_before_the_program(pieces, early):
    async def run():
        reading, writing = _pipe()
        sink = Sink(lambda: None, lambda: None)
        for piece in pieces[:early]:
            sink.put(piece)
        sink.open(writing)
        for piece in pieces[early:]:
            sink.put(piece)
        sink.end()
        assert await _read_all(reading) == b"".join(pieces)
        assert sink.count == sum(map(len, pieces))

    asyncio.run(run())


async def test_who_sends_faster_than_it_is_read_is_held_and_released():
    reading, writing = _pipe()
    said = []
    sink = Sink(lambda: said.append("hold"), lambda: said.append("release"))
    sink.open(writing)
    for _ in range(6):
        sink.put(b"x" * (1 << 20))
    assert said == ["hold"]
    assert sink.count > MUCH
    sink.end()
    assert len(await _read_all(reading)) == 6 << 20
    assert said == ["hold", "release"]


async def test_a_reader_who_leaves_releases_whoever_is_held_and_the_rest_is_thrown_away():
    reading, writing = _pipe()
    said = []
    sink = Sink(lambda: said.append("hold"), lambda: said.append("release"))
    sink.open(writing)
    sink.put(b"x" * (MUCH + 1))
    await asyncio.sleep(0)
    os.close(reading)
    await eventually_async(lambda: said == ["hold", "release"])
    sink.put(b"more")
    sink.close()


async def test_a_paused_source_reads_nothing_until_it_is_resumed():
    reading, writing = _pipe()
    found, ended = bytearray(), asyncio.Event()
    source = Source(reading, found.extend, ended.set)
    source.resume()
    source.pause()
    os.write(writing, b"later")
    await asyncio.sleep(0.05)
    assert found == b""
    source.resume()
    os.close(writing)
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert found == b"later"
    source.close()
