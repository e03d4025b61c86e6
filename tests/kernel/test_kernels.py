"""What a kernel made ready beforehand and its nursery say to each other."""

import pytest

from earthlab.kernel import wire
from earthlab.kernel.kernels import _is_taken


@pytest.fixture
def line():
    """The nursery's end of a line, and the kernel's."""
    ours, theirs = wire.pair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("unread", [False, True])
def test_a_nursery_that_is_gone_takes_nobody_also_where_it_left_a_word_unread(line, unread):
    nursery, kernel = line
    if unread:
        wire.send(kernel, {"ready": True})
    nursery.close()
    assert not _is_taken(None, kernel, {}, {})
