"""Whose end is the end of a lab."""

import os

import pytest

from earthlab.hub.head import HEAD, is_supervised, resolve_head


def test_a_supervisor_is_the_parent_that_says_it_is_one():
    environ = {HEAD: str(os.getppid())}
    assert is_supervised(environ)
    assert resolve_head(environ) == os.getppid()


@pytest.mark.parametrize("environ", [{}, {HEAD: ""}, {HEAD: str(os.getpid())}])
def test_a_hub_that_no_supervisor_has_started_is_its_own_head(environ):
    assert not is_supervised(environ)
    assert resolve_head(environ) == os.getpid()
