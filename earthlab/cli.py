"""The command ``earthlab``: runs the lab of one machine, looks after it, and shows what it is set to."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from earthlab import __version__
from earthlab.errors import BadRequest, EarthlabError
from earthlab.settings import Settings, load_settings, parse_bytes, show_settings

# Every command imports what it needs when it runs: `earthlab link` must not wait for the whole library.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is 0 for done, 1 for a fault that `doctor` found, 2 for a refusal."""
    asked = _parser().parse_args(arguments)
    command: Callable[[Settings, argparse.Namespace], int] = asked.command
    try:
        return command(_settings(asked), asked)
    except EarthlabError as exc:
        sys.stderr.write(f"earthlab: {exc}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: give the interpreter's last flush somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _settings(asked: argparse.Namespace) -> Settings:
    given: dict[str, Any] = {"lab.port": asked.port, "lab.state": asked.state}
    return load_settings({name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", metavar="DIR", help="folder of the lab's state (EARTHLAB__LAB__STATE)")
    common.add_argument("--port", metavar="N", help="port that people open (EARTHLAB__LAB__PORT)")
    parser = argparse.ArgumentParser(prog="earthlab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Settings, argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=words, description=words)
        added.set_defaults(command=run)
        return added

    add("lab", _lab, "start the lab and stay until Ctrl-C")
    add("doctor", _doctor, "check whether this machine can run the lab")
    add("settings", _show, "show every setting, its value and where it came from")
    add("version", _version, "show the version")
    link = add("link", _link, "print a new one-time sign-in link for a user of the running lab")
    link.add_argument("user", metavar="NAME", help="whom the link signs in; a new name becomes a new user")
    catalogue = add("catalogue", _catalogue, "build the embedded catalogue")
    catalogue.add_argument("action", choices=["build"])
    cubes = add("cubes", _cubes, "list the shared cubes, or remove those used least recently")
    cubes.add_argument("action", choices=["list", "evict"], nargs="?", default="list")
    cubes.add_argument("--to", metavar="SIZE", help='what may stay, as "20 GiB"; the quota by default')
    return parser


def _lab(settings: Settings, _asked: argparse.Namespace) -> int:
    from earthlab.hub.supervisor import run_lab

    run_lab(settings)
    return 0


def _doctor(settings: Settings, _asked: argparse.Namespace) -> int:
    from earthlab.hub.doctor import examine

    signs = {"ok": "✓", "warning": "!", "fault": "✗"}
    faults = 0
    for finding in examine(settings):
        print(f"{signs[finding.level]} {finding.text}", flush=True)
        faults += finding.level == "fault"
    return 1 if faults else 0


def _show(settings: Settings, _asked: argparse.Namespace) -> int:
    print(show_settings(settings))
    return 0


def _version(_settings: Settings, _asked: argparse.Namespace) -> int:
    print(f"earthlab {__version__}")
    return 0


def _link(settings: Settings, asked: argparse.Namespace) -> int:
    import socket

    from earthlab.hub.layout import public_url, resolve_layout
    from earthlab.hub.links import LinkStore, entry_url
    from earthlab.hub.prepare import lab_runs

    layout = resolve_layout(settings)
    if not lab_runs(layout):
        raise BadRequest(f"no lab runs on {layout.state}. Start it with `make lab`, or name its folder by --state.")
    code = LinkStore(layout.links).create(asked.user)
    print(entry_url(public_url(settings.lab, socket.gethostname()), code))
    return 0


def _catalogue(settings: Settings, _asked: argparse.Namespace) -> int:
    from earthlab.hub.layout import resolve_layout
    from earthlab.hub.prepare import make_folders
    from earthlab.services.stac.archive import build_catalogue

    layout = resolve_layout(settings)
    make_folders(layout)
    build_catalogue(layout.catalogue, _show_progress)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return 0


def _cubes(settings: Settings, asked: argparse.Namespace) -> int:
    from earthlab.cube.shared.access import resolve_address
    from earthlab.cube.shared.eviction import evict
    from earthlab.cube.shared.stores import open_store
    from earthlab.cube.shared.table import render_table

    store = open_store(resolve_address(None, settings))
    if asked.action == "evict":
        most = parse_bytes(asked.to, "--to") if asked.to else parse_bytes(settings.cubes.quota, "cubes.quota")
        gone = evict(store, most)
        print(f"{len(gone)} cubes, {sum(use.bytes for use in gone):,} bytes")
    else:
        print(render_table(store))
    return 0


def _show_progress(step: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K  {step} {done}/{total}")
    elif done in {0, total}:
        sys.stderr.write(f"  {step} {done}/{total}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
