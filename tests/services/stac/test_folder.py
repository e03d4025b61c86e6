"""The catalogue's folder: only a readable marker makes it complete, and one at a time may change it."""

import json
import threading

from earthlab.services.stac.folder import MARKER, alone, no_catalogue, read_report


def test_a_folder_without_a_readable_marker_is_not_complete(tmp_path):
    assert read_report(tmp_path) is None
    (tmp_path / MARKER).write_text("half a mark")
    assert read_report(tmp_path) is None
    (tmp_path / MARKER).write_text(json.dumps({"version": "1", "items": {"a": 2}, "left_out": {}}))
    report = read_report(tmp_path)
    assert (report.version, report.items, report.built) == ("1", {"a": 2}, False)


def test_the_refusal_names_the_folder_and_the_command(tmp_path):
    assert f"no complete catalogue in {tmp_path}. Run: earthlab catalogue build" in str(no_catalogue(tmp_path))


def test_of_two_that_change_a_catalogue_the_second_waits(tmp_path):
    done: list[str] = []

    def change() -> None:
        with alone(tmp_path / "catalogue"):
            done.append("second")

    with alone(tmp_path / "catalogue"):
        other = threading.Thread(target=change)
        other.start()
        other.join(0.05)
        done.append("first")
    other.join()
    assert done == ["first", "second"]
