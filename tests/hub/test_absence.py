"""Whoever asks while the hub's database is away: asked twice, told to wait, and a session that is whole afterwards."""

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError, PendingRollbackError

from earthlab.hub.absence import Absence, require_database

AWAY = OperationalError("SELECT 1", {}, ConnectionError("refused"))
LEFT_OVER = PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")


class Session:
    """Raises what it is told to, one after the other, and then answers."""

    def __init__(self, *faults):
        self.faults, self.rolled_back = list(faults), 0

    def execute(self, _):
        if self.faults:
            raise self.faults.pop(0)

    def rollback(self):
        self.rolled_back += 1


def handler(*faults):
    return SimpleNamespace(db=Session(*faults), _resolve_roles_and_scopes=lambda: None)


@pytest.mark.parametrize("fault", [AWAY, LEFT_OVER])
def test_a_connection_or_a_transaction_from_before_a_restart_is_given_up_once(fault):
    asked = handler(fault)
    require_database(asked)
    assert asked.db.rolled_back == 1


@pytest.mark.parametrize("fault", [AWAY, LEFT_OVER])
def test_a_database_that_is_away_is_said_in_both_languages_with_a_time_to_ask_again(fault):
    asked = handler(LEFT_OVER, fault)
    with pytest.raises(Absence) as said:
        require_database(asked)
    assert said.value.status_code == 503
    assert int(said.value.headers["Retry-After"]) > 0
    assert "reste bon" in said.value.log_message
    assert "stays good" in said.value.log_message
    assert asked.db.rolled_back == 2
