"""What stands while hubs come and go, and how any part of a lab is started."""

import os
import signal
import stat
import sys

from earthlab.hub.proxy import TOKEN
from earthlab.hub.standing import Standing, make_proxy_token, plan_standing, start_part
from earthlab.settings import load_settings
from tests.patience import PATIENCE

TELLS = "import os, sys; print(os.getcwd(), os.getsid(0) == os.getpid(), os.environ['WORD'], repr(sys.stdin.read()))"


def test_a_part_runs_in_the_folder_of_its_log_which_it_goes_on_with_and_in_a_session_of_its_own(tmp_path):
    log = tmp_path / "part.log"
    for word in ("one", "two"):
        assert start_part([sys.executable, "-c", TELLS], {"WORD": word}, log).wait(PATIENCE) == 0
    assert log.read_text() == f"{tmp_path} True one ''\n{tmp_path} True two ''\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_what_stands_is_started_again_where_it_ends_but_not_at_once(tmp_path):
    part = Standing(["sleep", "60"], {"PATH": os.environ["PATH"]}, tmp_path / "part.log")
    assert part.keep()
    first = part.process
    assert part.keep()
    assert part.process is first
    first.kill()
    first.wait()
    part._began += 3600
    assert not part.keep()
    part._began -= 7200
    assert part.keep()
    assert part.process is not first
    part.end()
    assert part.process.wait(PATIENCE) == -signal.SIGTERM


def test_the_keeper_of_the_template_stands_beside_the_proxy_and_is_not_told_its_secret(layout):
    environment = make_proxy_token() | {"WORD": "one"}
    settings = load_settings({"hub.template": "shared"}, environ={}, files=())
    proxy, keeper = plan_standing(settings, layout, environment)
    assert TOKEN in proxy.environment
    assert keeper.environment == {"WORD": "one"}
    assert environment[TOKEN] not in repr(proxy)
    alone = load_settings({"hub.template": "user"}, environ={}, files=())
    assert [part.command for part in plan_standing(alone, layout, environment)] == [proxy.command]
