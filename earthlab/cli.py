"""The command ``earthlab``: runs the lab of one machine, looks after it, and shows what it is set to."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthlab import __version__
from earthlab.errors import BadRequest, EarthlabError
from earthlab.settings import Settings, load_settings, parse_bytes, show_settings

if TYPE_CHECKING:
    from earthlab.services.stac.ingest import IngestReport

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
        return _add(commands, common, name, run, words)

    add("lab", _lab, "start the lab and stay until Ctrl-C")
    add("doctor", _doctor, "check whether this machine can run the lab")
    add("settings", _show, "show every setting, its value and where it came from")
    add("version", _version, "show the version")
    link = add("link", _link, "print a new one-time sign-in link for a user of the running lab")
    link.add_argument("user", metavar="NAME", help="whom the link signs in; a new name becomes a new user")
    config = add("ssh-config", _ssh_config, "print what a user pastes to reach the lab by ssh")
    config.add_argument("user", metavar="NAME", nargs="?", default="", help="a user's name in the lab (the first user)")
    config.add_argument(
        "--host", metavar="NAME", help="how it is called from outside (ssh.public_host, or this machine)"
    )
    backup = add("backup", _backup, "write the hub's books and the catalogue into one file, while the lab runs")
    backup.add_argument("file", type=Path, help="what is written (.tar.gz); it holds secrets")
    backup.add_argument("--no-catalogue", action="store_true", help="leave the catalogue out: it can be built again")
    restore = add("restore", _restore, "bring the books of a backup into a lab that has none and does not run")
    restore.add_argument("file", type=Path, help="what `earthlab backup` has written")
    _add_catalogue(commands, common)
    cubes = add("cubes", _cubes, "list the shared cubes, or remove those used least recently")
    cubes.add_argument("action", choices=["list", "evict"], nargs="?", default="list")
    cubes.add_argument("--to", metavar="SIZE", help='what may stay, as "20 GiB"; the quota by default')
    keys = add("keys", _keys, "list, enter or remove your keys at providers, which the lab's broker keeps sealed")
    keys.add_argument("action", choices=["list", "put", "remove"], nargs="?", default="list")
    keys.add_argument("provider", nargs="?", default="", help="whose key: mtd, …")
    words = "rehearse a class on the running lab: seats that behave like people, and a go or no-go report"
    rehearsal = add("rehearse", _rehearse, words)
    rehearsal.add_argument("--seats", type=int, required=True, metavar="N", help="how many people come")
    rehearsal.add_argument("--notebook", type=Path, required=True, metavar="PATH", help="what they work through")
    rehearsal.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long the class lasts (10)")
    rehearsal.add_argument("--within", type=float, default=30.0, metavar="SECONDS", help="all have come by then (30)")
    rehearsal.add_argument("--seed", type=int, default=1, help="the same seed makes the same people (1)")
    rehearsal.add_argument("--report", type=Path, metavar="DIR", help="folder of the report; by default ./repetition")
    workshop = add("workshop", _workshop, "make workshops and look after them; a workshop is one TOML")
    workshop.add_argument("action", choices=_WORKSHOP_ACTIONS, nargs="?", default="list")
    workshop.add_argument("what", nargs="?", default="", metavar="NAME", help="a file for new and edit, else its slug")
    workshop.add_argument("--sheet", type=Path, metavar="PDF", help="where open and passes write the printed passes")
    workshop.add_argument("--seat", type=int, metavar="N", help="passes: of this seat alone, shown here")
    words = "extend: by how much (30); rehearse: how long the class lasts with each notebook (10)"
    workshop.add_argument("--minutes", type=int, metavar="M", help=words)
    add("rights", _rights, "show which licensed data you may read, and why not")
    return parser


def _add_catalogue(commands: Any, common: argparse.ArgumentParser) -> None:
    words = "build the embedded catalogue, bring items into it, or write them out for another"
    catalogue = commands.add_parser("catalog", aliases=["catalogue"], help=words, description=words)
    actions = catalogue.add_subparsers(required=True, metavar="ACTION")
    _add(actions, common, "build", _build, "build the embedded catalogue, unless it is complete")
    ingest = _add(actions, common, "ingest", _ingest, "bring items of others into the embedded catalogue")
    ingest.add_argument(
        "source",
        nargs="+",
        help="files (GeoParquet, NDJSON, JSON), or one catalogue: an address, or an id of el.catalogs()",
    )
    ingest.add_argument("--collections", metavar="ID,…", help="of a catalogue only these collections")
    export = _add(actions, common, "export", _export, "write it as STAC documents, one a line, for pgstac and others")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="where collections.ndjson and items.ndjson go")


def _add(
    commands: Any,
    common: argparse.ArgumentParser,
    name: str,
    run: Callable[[Settings, argparse.Namespace], int],
    words: str,
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, parents=[common], help=words, description=words)
    added.set_defaults(command=run)
    return added


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


def _keys(_settings: Settings, asked: argparse.Namespace) -> int:
    from getpass import getpass

    from earthlab.catalog.signing.broker import forget_key, keep_key, kept_keys, key_parts

    if asked.action == "list":
        known, kept = kept_keys()
        for provider in known:
            print(f"{provider}: {'clé gardée · key kept' if provider in kept else 'pas de clé · no key'}")
    elif not asked.provider:
        raise BadRequest(f"keys {asked.action}: whose key? `earthlab keys` lists the providers.")
    elif asked.action == "put":
        # Not as arguments: those are seen by everybody on the machine, and stay in the shell's history.
        keep_key(asked.provider, {part: getpass(f"{asked.provider} {part}: ") for part in key_parts(asked.provider)})
    else:
        forget_key(asked.provider)
    return 0


def _rights(_settings: Settings, _asked: argparse.Namespace) -> int:
    from earthlab.catalog.signing.broker import my_rights

    for right in my_rights():
        print(f"{'✓' if right['allowed'] else '✗'} {right['title']['fr']} · {right['title']['en']}")
        if not right["allowed"]:
            for tongue in ("fr", "en"):
                print(f"  {right['reason'][tongue]} {right['how'][tongue]}")
    return 0


def _show(settings: Settings, _asked: argparse.Namespace) -> int:
    print(show_settings(settings))
    return 0


def _version(_settings: Settings, _asked: argparse.Namespace) -> int:
    print(f"earthlab {__version__}")
    return 0


def _link(settings: Settings, asked: argparse.Namespace) -> int:
    import socket

    from earthlab.hub.layout import people_url, resolve_layout
    from earthlab.hub.links import LinkStore, entry_url
    from earthlab.hub.prepare import lab_runs

    layout = resolve_layout(settings)
    if not lab_runs(layout):
        raise BadRequest(f"no lab runs on {layout.state}. Start it with `make lab`, or name its folder by --state.")
    code = LinkStore(layout.links).create(asked.user)
    print(entry_url(people_url(settings, socket.gethostname()), code))
    return 0


def _backup(settings: Settings, asked: argparse.Namespace) -> int:
    from earthlab.hub.backup import write_backup
    from earthlab.hub.layout import resolve_layout

    found = write_backup(resolve_layout(settings), asked.file, catalogue=not asked.no_catalogue)
    told = f"{len(found.digests)} fichiers · files, {found.size / 1e6:.1f} MB"
    print(f"{asked.file} · {told} · 0600 : il contient des secrets · it holds secrets")
    return 0


def _restore(settings: Settings, asked: argparse.Namespace) -> int:
    from earthlab.hub.backup import restore_backup
    from earthlab.hub.layout import resolve_layout

    layout = resolve_layout(settings)
    found = restore_backup(layout, asked.file, in_pod=settings.kubernetes.enabled)
    print(f"{layout.state} · {len(found.digests)} fichiers · files, du · of {found.taken}, EarthLab {found.version}")
    return 0


def _ssh_config(settings: Settings, asked: argparse.Namespace) -> int:
    import socket
    from urllib.parse import urlsplit

    from earthlab.hub.accounts import norm_user
    from earthlab.hub.hostkeys import Address, read_host_key
    from earthlab.hub.layout import people_ssh, public_url, resolve_layout

    host, port = people_ssh(settings, urlsplit(public_url(settings.lab, socket.gethostname())).hostname or "")
    address = Address(asked.host or host, port, read_host_key(resolve_layout(settings)))
    print(f"# ~/.ssh/config\n{address.config(norm_user(asked.user or settings.lab.first_user))}")
    print(f"# ~/.ssh/known_hosts, {address.key.fingerprint}\n{address.known_hosts}")
    return 0


def _rehearse(settings: Settings, asked: argparse.Namespace) -> int:
    from earthlab.rehearsal.report import render_summary, write_report
    from earthlab.rehearsal.running import Wish, rehearse
    from earthlab.rehearsal.statistics import compute_figures
    from earthlab.rehearsal.verdict import Bars, judge

    wish = Wish(asked.seats, asked.notebook, asked.minutes, asked.within, asked.seed)
    rehearsal, bars = rehearse(settings, wish), Bars()
    figures = compute_figures(rehearsal, reserve=parse_bytes(settings.hub.reserve, "hub.reserve"))
    verdict = judge(rehearsal, figures, bars)
    page = write_report(asked.report or Path("repetition"), rehearsal, figures, verdict, bars)
    print(render_summary(rehearsal, figures, verdict))
    print(f"\n{page}")
    return 0 if verdict.go else 1


_WORKSHOP_ACTIONS = (
    "list",
    "new",
    "edit",
    "show",
    "open",
    "passes",
    "link",
    "extend",
    "close",
    "forget",
    "warm",
    "rehearse",
)


def _workshop(settings: Settings, asked: argparse.Namespace) -> int:
    import socket

    from earthlab.hub.layout import people_url, resolve_layout
    from earthlab.services.workshops.desk import open_desk
    from earthlab.services.workshops.shell import run_action

    desk = open_desk(settings, resolve_layout(settings))
    try:
        said, good = run_action(desk, asked, people_url(settings, socket.gethostname()))
        print(said)
    finally:
        desk.store.close()
    return 0 if good else 1


def _build(settings: Settings, _asked: argparse.Namespace) -> int:
    from earthlab.hub.layout import resolve_layout
    from earthlab.hub.prepare import make_folders, make_pod_folders
    from earthlab.services.stac.archive import build_catalogue

    layout = resolve_layout(settings)
    (make_pod_folders if settings.kubernetes.enabled else make_folders)(layout)
    build_catalogue(layout.catalogue, _show_progress)
    _end_progress()
    return 0


def _ingest(settings: Settings, asked: argparse.Namespace) -> int:
    from earthlab.hub.layout import resolve_layout
    from earthlab.services.stac.ingest import ingest_files

    folder, paths = resolve_layout(settings).catalogue, [Path(name) for name in asked.source]
    missing = [name for name, path in zip(asked.source, paths, strict=True) if not path.exists()]
    if not missing:
        report = ingest_files(folder, paths, _show_progress)
    elif len(paths) == 1 and ("://" in missing[0] or not paths[0].suffix):
        report = _crawl(folder, settings, asked)
    else:
        raise BadRequest(f"ingest: there is no {missing[0]}. Give files that exist, or one catalogue.")
    _end_progress()
    print(
        f"{report.stored:,} items came in, {report.replaced:,} of the catalogue made way for them; "
        f"{report.repeated:,} documents came again later, {report.refused:,} were left out"
    )
    if report.refusals:
        print(f"Each of those with its reason: {report.refusals}")
    return 0


def _export(settings: Settings, asked: argparse.Namespace) -> int:
    from earthlab.hub.layout import resolve_layout
    from earthlab.services.stac.export import export_catalogue

    report = export_catalogue(resolve_layout(settings).catalogue, asked.folder, _show_progress)
    _end_progress()
    print(f"{report.collections:,} collections and {report.items:,} items were written to {asked.folder}")
    return 0


def _crawl(folder: Path, settings: Settings, asked: argparse.Namespace) -> "IngestReport":
    from earthlab.catalog.dialects import open_catalogue
    from earthlab.services.stac.crawl import ingest_crawl

    names = asked.collections.split(",") if asked.collections else ()
    return ingest_crawl(folder, open_catalogue(asked.source[0], settings), _show_progress, collections=names)


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


def _end_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\n")


if __name__ == "__main__":
    sys.exit(main())
