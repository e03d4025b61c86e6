"""What a kernel made ready beforehand and its nursery say to each other."""

import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from earthlab.kernel import wire
from earthlab.kernel.kernels import _PORTS, _is_taken, _seen_by, _seen_outside


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


@pytest.fixture
def app(tmp_path):
    """What of a kernel takes the place of another: its key and its sockets, here empty files."""
    ports = {name: number for number, name in enumerate(_PORTS, start=1)}
    for number in ports.values():
        (tmp_path / f"own-{number}").touch()
    (tmp_path / "k.json").write_text(json.dumps({"key": "of the server", "ip": str(tmp_path / "k"), **ports}))
    profile = SimpleNamespace(startup_dir=str(tmp_path))
    session = SimpleNamespace(key=b"own")
    return SimpleNamespace(
        ip=str(tmp_path / "own"), session=session, shell=None, profile_dir=profile, config_file_paths=[], **ports
    )


@pytest.mark.parametrize("told", [False, True])
def test_a_kernel_stands_where_the_server_connects_to_only_once_the_server_was_told_of_it(
    line, app, tmp_path, monkeypatch, told
):
    monkeypatch.setattr("earthlab.kernel.kernels.take_surroundings", lambda content: None)
    monkeypatch.setattr("earthlab.kernel.kernels.set_name", lambda name: None)
    monkeypatch.setattr("sys.argv", ["kernel"])
    nursery, kernel = line
    file = str(tmp_path / "k.json")
    sealed = wire.seal({"connection_file": file, "arguments": ["-f", file]})
    with ThreadPoolExecutor() as threads:
        taken = threads.submit(_is_taken, app, kernel, _seen_outside() | _seen_by(app), {})
        wire.send(nursery, {}, [sealed])
        assert wire.receive(nursery) == ({"fit": True}, [])
        assert app.session.key == b"own"
        assert len(list(tmp_path.glob("own-*"))) == 5
        if told:
            wire.send(nursery, {"begin": True})
        nursery.close()
        assert taken.result() == told
    wire.close_files([sealed])
    assert (app.session.key == b"of the server") == told
    assert len(list(tmp_path.glob("k-*"))) == 5 * told
