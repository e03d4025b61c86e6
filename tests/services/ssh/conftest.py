"""One door for all tests that leave it as it was."""

from collections.abc import Iterator

import pytest

from tests.services.ssh.running_door import RunningDoor, running_door


@pytest.fixture(scope="session")
def door() -> Iterator[RunningDoor]:
    with running_door() as found:
        for name in ("ana", "bob"):
            found.add_user(name)
        yield found
