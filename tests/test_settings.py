"""Settings: which source wins, and what each refuses."""

from pathlib import Path

import pytest

from earthlab.errors import SetupError
from earthlab.settings import Settings, default_files, field_names, load_settings, parse_bytes, show_settings


@pytest.fixture
def toml(tmp_path):
    def write(text: str, name: str = "earthlab.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_later_sources_win_and_each_is_remembered(toml):
    weak, strong = toml("[lab]\nport = 1\naddress = '::1'\n", "a.toml"), toml("[lab]\nport = 2\n", "b.toml")
    assert load_settings(environ={}, files=(weak, strong)).lab.port == 2
    loaded = load_settings({"lab.port": 4}, environ={"EARTHLAB__LAB__PORT": "3"}, files=(weak, strong))
    assert load_settings(environ={"EARTHLAB__LAB__PORT": "3"}, files=(weak, strong)).lab.port == 3
    assert (loaded.lab.port, loaded.lab.address) == (4, "::1")
    assert loaded.sources == {"lab.port": "argument", "lab.address": str(weak)}


def test_without_any_source_the_defaults_stand():
    assert load_settings(environ={}, files=()) == Settings()


def test_the_users_file_and_the_named_file_are_found(tmp_path):
    named = tmp_path / "named.toml"
    named.write_text("[compute]\nmax_workers = 7\n")
    own = tmp_path / ".config" / "earthlab" / "earthlab.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[compute]\nmax_workers = 5\nworker_memory = '1 GiB'\n")
    loaded = load_settings(environ={"HOME": str(tmp_path), "EARTHLAB_CONFIG": str(named)})
    assert (loaded.compute.max_workers, loaded.compute.worker_memory) == (7, "1 GiB")
    assert default_files({"XDG_CONFIG_HOME": "/x"})[1] == Path("/x/earthlab/earthlab.toml")


def test_a_named_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"EARTHLAB_CONFIG names .*absent\.toml.*Mend the path"):
        load_settings(environ={"EARTHLAB_CONFIG": str(tmp_path / "absent.toml")})


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"EARTHLAB__LAB__PROT": "1"}, r"no setting is called 'lab\.prot'\. Nearest: lab\.port"),
        ({"EARTHLAB__LABB__PORT": "1"}, r"Nearest: lab\.port"),
        ({"EARTHLAB__LAB": "1"}, "no setting is called 'lab'"),
        ({"EARTHLAB__LAB__PORT": "http"}, r"environment: lab\.port is 'http', expected a whole number"),
        ({"EARTHLAB__LAB__PORT": "80.5"}, "expected a whole number"),
        ({"EARTHLAB__CATALOGUE__TIMEOUT": "nan"}, "expected a number, 0 or more"),
        ({"EARTHLAB__CATALOGUE__TIMEOUT": "-1"}, "expected a number, 0 or more"),
        ({"EARTHLAB__HUB__PRIVATE_TMP": "perhaps"}, r"hub\.private_tmp is 'perhaps', expected true or false"),
        ({"EARTHLAB__LAB__ACCOUNTS": "unixx"}, "expected one of auto, unix, shared"),
        ({"EARTHLAB__LAB__STATE": ""}, "expected a path"),
    ],
)
def test_a_wrong_variable_is_refused_with_the_nearest_name_or_the_type(environ, words):
    with pytest.raises(SetupError, match=words):
        load_settings(environ=environ, files=())


@pytest.mark.parametrize(("word", "meant"), [("true", True), ("ON", True), ("0", False), ("no", False), (False, False)])
def test_a_switch_is_read_in_the_usual_words(word, meant):
    assert load_settings({"hub.private_tmp": word}, environ={}, files=()).hub.private_tmp is meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lab = [", "is not valid TOML.*Mend the file"),
        ("port = 8000", "'port' stands outside a section"),
        ("[lab]\nport = 80.5", "expected a whole number"),
        ("[lab]\nport = true", "expected a whole number"),
        ("[lab]\naddress = 5", "expected text"),
        ("[lab]\naccounts = ['unix']", "expected one of"),
        ("[lab.port]\nx = 1", "expected a whole number"),
        ("[catalogue]\ntimeout = inf", "expected a number"),
        ("[serveur]\nx = 1", "no setting is called"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(toml, text, words):
    path = toml(text)
    with pytest.raises(SetupError, match=words) as caught:
        load_settings(environ={}, files=(path,))
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "raw.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "raw.toml", tmp_path):
        with pytest.raises(SetupError, match="is not a text file"):
            load_settings(environ={}, files=(path,))


def test_whole_numbers_and_paths_are_parsed_from_text(tmp_path):
    loaded = load_settings(
        environ={"EARTHLAB__LAB__STATE": "~/lab", "EARTHLAB__CATALOGUE__TIMEOUT": "2", "HOME": str(tmp_path)}, files=()
    )
    assert loaded.lab.state == Path("~/lab").expanduser()
    assert loaded.catalogue.timeout == 2.0


def test_every_setting_is_shown_with_its_value_and_source():
    shown = show_settings(load_settings({"lab.port": 8100}, environ={}, files=()))
    lines = {line.split()[0]: line.split() for line in shown.splitlines()}
    assert set(lines) == set(field_names())
    assert lines["lab.port"] == ["lab.port", "8100", "argument"]
    assert lines["lab.accounts"][-1] == "default"


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Settings().lab.port = 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("4 GiB", 2**32), ("500MB", 5 * 10**8), ("1.5 kib", 1536), ("7", 7), (" 2 TB ", 2 * 10**12)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_bytes(text, "x") == size


@pytest.mark.parametrize("text", ["", "GiB", "-1 GiB", "0", "4 potatoes", "nan GiB", "4 GiB 2", "1e3"])
def test_a_size_that_is_none_is_refused_by_the_settings_name(text):
    with pytest.raises(SetupError, match=r"hub\.server_memory is .*expected a size such as"):
        parse_bytes(text, "hub.server_memory")


def test_addresses_of_endpoints_are_a_table_or_one_line(tmp_path):
    file = tmp_path / "earthlab.toml"
    file.write_text('[catalogue.endpoints]\ngeodes = "https://a.example"\n')
    assert load_settings(environ={}, files=(file,)).catalogue.endpoints == {"geodes": "https://a.example"}
    line = {"EARTHLAB__CATALOGUE__ENDPOINTS": "geodes=https://a.example?x=1, mtd = https://b.example"}
    found = load_settings(environ=line, files=()).catalogue.endpoints
    assert found == {"geodes": "https://a.example?x=1", "mtd": "https://b.example"}
    for wrong in ("geodes", 3, {"geodes": 3}):
        with pytest.raises(SetupError, match=r'catalogue.endpoints is .*, expected a table of id = "address"'):
            load_settings({"catalogue.endpoints": wrong}, environ={}, files=())
