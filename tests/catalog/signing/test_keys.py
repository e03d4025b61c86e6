"""Keys come from the environment or a file of the user's alone, and show nowhere."""

import os
import pickle
import traceback

import pytest

from earthlab.catalog.signing.keys import Key, find_key, keys_file
from earthlab.errors import SetupError

SECRET = "PLANTED-SECRET-7f3a"
FORMS = ({"token": "X_TOKEN"}, {"username": "X_USER", "password": "X_PASSWORD"})


@pytest.fixture
def write(tmp_path):
    def write(text, mode=0o600):
        file = tmp_path / "earthlab" / "keys.toml"
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        file.touch()
        file.chmod(mode)
        file.write_text(text)
        return {"XDG_CONFIG_HOME": str(tmp_path)}

    return write


def test_the_environment_goes_before_the_file(write):
    environ = write(f'[x]\ntoken = "{SECRET}"\n')
    assert find_key("x", FORMS, environ) == Key({"token": SECRET})
    assert find_key("x", FORMS, {**environ, "X_TOKEN": "t"}) == Key({"token": "t"})
    assert find_key("x", FORMS, {**environ, "X_USER": "u", "X_PASSWORD": "p"}) == Key(
        {"username": "u", "password": "p"}
    )
    assert find_key("y", FORMS, environ) is None


def test_a_half_key_in_the_environment_is_none():
    assert find_key("x", FORMS, {"X_USER": "u"}) is None


def test_the_file_is_in_the_users_configuration():
    assert str(keys_file({"HOME": "/home/ana"})) == "/home/ana/.config/earthlab/keys.toml"


def refusal(act):
    """What a refusal says, once its traceback with every variable of ours has no secret."""
    with pytest.raises(SetupError) as refused:
        act()
    shown = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "/earthlab/" in frame.filename]
    assert ours
    assert SECRET not in str([frame.locals for frame in ours])
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    return str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601, 0o666])
def test_a_file_that_others_may_open_is_refused(write, mode):
    environ = write(f'[x]\ntoken = "{SECRET}"\n', mode)
    assert "chmod 600" in refusal(lambda: find_key("x", FORMS, environ))


def test_a_file_of_somebody_else_is_refused(write, monkeypatch):
    environ = write(f'[x]\ntoken = "{SECRET}"\n')
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert "you alone (12345)" in refusal(lambda: find_key("x", FORMS, environ))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'[x\ntoken = "{SECRET}"\n', "line 1"),
        (f"[x]\ntoken = {SECRET}\n", "line 2"),
        (f'[x]\nusername = "{SECRET}"\n', "not a whole key. Expected token or username and password"),
        (f'[x]\ntokn = "{SECRET}"\n', "Nearest: token"),
        (f'x = "{SECRET}"\n', "is not a table"),
        (f'[x]\ntoken = "{SECRET}\\r\\nX-Evil: 1"\n', "line ends"),
        (f'[x]\ntoken = "{SECRET} "\n', "blanks"),
        ('[x]\ntoken = ""\n', "empty"),
        ("[x]\ntoken = 7\n", "empty"),
    ],
)
def test_a_file_that_is_wrong_is_told_without_what_stands_there(write, text, says):
    environ = write(text)
    assert says in refusal(lambda: find_key("x", FORMS, environ))


def test_a_file_that_changes_is_read_again(write):
    assert find_key("x", FORMS, write('[x]\ntoken = "one"\n')) == Key({"token": "one"})
    assert find_key("x", FORMS, write('[x]\ntoken = "other"\n')) == Key({"token": "other"})


def test_a_key_shows_its_parts_names_and_does_not_travel():
    key = Key({"access_key": SECRET, "secret_key": f"{SECRET}-2"})
    assert repr(key) == "Key(access_key, secret_key)"
    assert key.strip_from(f"no right for {SECRET}-2 or {SECRET}") == "no right for … or …"
    with pytest.raises(TypeError, match="travel"):
        pickle.dumps(key)
