"""Taking the work of a workshop's seat into a real account: one process reads as the seat, another writes as the user.

Between them goes one line of JSON a file (``path``, ``size``, ``mtime``), the file's bytes, and a last line ``end``.
The reader runs as an account that others used: the writer therefore believes nothing that it reads.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import stat
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from earthlab.errors import AskLess, BadRequest, NothingFound
from earthlab.hub.accounts import Account, resolve_account
from earthlab.hub.layout import AccountMode, Layout, interpreter

MOST_BYTES = 2 * 1024**3
"""What can be taken along at a time."""

MOST_FILES = 20_000

WORK = "earthlab-atelier/travail"
"""Where a pod's server gives its home's work (``GET``) and takes another's in (``POST``)."""

_SPARE = 1024**3
"""Bytes of the disk that stay free."""

PATIENCE = 300.0
"""Seconds for all of it."""

_LONGEST_LINE = 16_384
_PIECE = 1 << 20

_MUCH = (
    f"Il y a plus de {MOST_BYTES >> 30} Gio ou de {MOST_FILES} fichiers à garder, ou le disque est presque plein : "
    "effacez ce dont vous n’avez plus besoin, puis faites un nouveau code. · "
    f"There are more than {MOST_BYTES >> 30} GiB or {MOST_FILES} files to keep, or the disk is nearly full: "
    "delete what you no longer need, then make a new code."
)
NOTHING = "Il n’y a encore aucun fichier à garder à cette place. · There is no file to keep in this seat yet."
BROKEN = (
    "La copie a été interrompue et rien n’a été gardé : enregistrez vos fichiers, puis faites un nouveau code. · "
    "The copy was interrupted and nothing was kept: save your files, then make a new code."
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What arrived: the ``folder`` in the user's home, and how much is in it."""

    folder: str
    files: int
    bytes: int


async def keep_work(layout: Layout, mode: AccountMode, seat: str, user: str, folder: str) -> Kept:
    """Copy what a seat's holder made into ``folder``, or ``folder-2``…, of a user's home.

    Not taken are what is hidden, what cannot be written to (the originals of lessons), and links of any kind.

    Raises
    ------
    AskLess, NothingFound, BadRequest
        Where it is too much, nothing, or interrupted: then nothing has arrived.
    """
    source = await asyncio.to_thread(resolve_account, seat, layout, mode)
    target = await asyncio.to_thread(resolve_account, user, layout, mode)
    most = most_for(layout.homes)
    reading, writing = os.pipe()
    try:
        giver = await _run(source, ["give", str(source.home), str(most)], stdout=writing)
        taker = await _run(target, ["take", str(target.home), folder, str(most)], stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    return judge_kept(await _answer(giver, taker))


async def _run(
    account: Account, words: list[str], stdin: int = DEVNULL, stdout: int = PIPE
) -> asyncio.subprocess.Process:
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        who = {"user": account.uid, "group": account.gid, "extra_groups": []}
    return await start_end(words, stdin, stdout, **who)


async def start_end(words: list[str], stdin: int, stdout: int, **who: Any) -> asyncio.subprocess.Process:
    """One of the two processes, as `main` has them; ``who`` is whom it runs as, where that is somebody else."""
    plain: dict[str, Any] = {"stderr": DEVNULL, "cwd": "/", "env": {"LC_ALL": "C.UTF-8"}, "umask": 0o077}
    return await asyncio.create_subprocess_exec(
        str(interpreter()), "-P", "-m", "earthlab.hub.kept_work", *words, stdin=stdin, stdout=stdout, **plain, **who
    )


def most_for(folder: Path) -> int:
    """Bytes that may come into a folder at a time."""
    return max(0, min(MOST_BYTES, shutil.disk_usage(folder).free - _SPARE))


async def _answer(giver: asyncio.subprocess.Process, taker: asyncio.subprocess.Process) -> bytes:
    said = b""
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await taker.communicate()
            await giver.wait()
    except TimeoutError:
        return b""
    finally:
        for process in (giver, taker):
            if process.returncode is None:
                process.kill()
                await process.wait()
    return said


def judge_kept(said: bytes) -> Kept:
    """What the writer said came of it.

    Raises
    ------
    AskLess, NothingFound, BadRequest
        In the words for people.
    """
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    match answer:
        case {"folder": str(folder), "files": int(files), "bytes": int(size)}:
            return Kept(folder, files, size)
        case {"refused": "much"}:
            raise AskLess(_MUCH)
        case {"refused": "nothing"}:
            raise NothingFound(NOTHING)
        case _:
            raise BadRequest(BROKEN)


def give(home: Path, most: int, out: BinaryIO) -> None:
    """Write what there is to keep in ``home`` to ``out``, or the one word ``refused``. To run as the home's owner."""
    files, size = 0, 0
    for _, found, _ in _walk(home):
        files, size = files + 1, size + found.st_size
    if files > MOST_FILES or size > most:
        _say(out, {"refused": "much"})
        return
    for path, found, descriptor in _walk(home):
        with os.fdopen(os.dup(descriptor), "rb") as file:
            _say(out, {"path": path, "size": found.st_size, "mtime": int(found.st_mtime)})
            _pass_on(file, out, found.st_size)
    _say(out, {"end": True})


def _walk(home: Path) -> Iterator[tuple[str, os.stat_result, int]]:
    """Each file to keep: its path in the home, what it is, and a descriptor of it that is closed afterwards."""
    for folder, folders, names, here in os.fwalk(home, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            descriptor = _open_own(name, here)
            if descriptor is None:
                continue
            try:
                yield str((Path(folder) / name).relative_to(home)), os.fstat(descriptor), descriptor
            finally:
                os.close(descriptor)


def _open_own(name: str, here: int) -> int | None:
    """A regular file that its owner, who we are, may change; ``None`` for anything else and for what is gone."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_mode & stat.S_IWUSR:
        return descriptor
    os.close(descriptor)
    return None


def take(home: Path, folder: str, most: int, source: BinaryIO) -> dict[str, Any]:
    """Write what `give` says into a new folder of ``home``; to run as the home's owner.

    Returns
    -------
    dict
        The fields of `Kept`, or ``refused``: then nothing is left of it.
    """
    draft = home / f".{folder}.{secrets.token_hex(8)}.arriving"
    draft.mkdir(mode=0o700)
    try:
        files, size = _receive(draft, most, source)
        return {"folder": _settle(draft, home, folder), "files": files, "bytes": size}
    except _Refused as refused:
        return {"refused": refused.args[0]}
    except (OSError, ValueError, KeyError, TypeError):
        # A full disk, a reader that was killed, a reader that is not ours.
        return {"refused": "broken"}
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Refused(Exception):
    pass


def _receive(draft: Path, most: int, source: BinaryIO) -> tuple[int, int]:
    files, size = 0, 0
    while "end" not in (line := json.loads(source.readline(_LONGEST_LINE))):
        if "refused" in line or files >= MOST_FILES or not 0 <= int(line["size"]) <= most - size:
            raise _Refused("much")
        path = draft / _norm_path(line["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            _pass_on(source, file, int(line["size"]))
        os.utime(path, (int(line["mtime"]), int(line["mtime"])))
        files, size = files + 1, size + int(line["size"])
    if not files:
        raise _Refused("nothing")
    return files, size


def norm_folder(text: str) -> str:
    """A name of a folder in a home, as workshops have.

    Raises
    ------
    BadRequest
        For anything else.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", text):
        raise BadRequest(f"folder: found {text!r}, expected a name of a-z, 0-9 and dashes.")
    return text


def _norm_path(text: object) -> Path:
    parts = str(text).split("/")
    if not isinstance(text, str) or any(not part or part.startswith(".") or "\0" in part for part in parts):
        raise ValueError(text)
    return Path(*parts)


def _settle(draft: Path, home: Path, folder: str) -> str:
    number, name = 1, folder
    while os.path.lexists(home / name):
        number += 1
        name = f"{folder}-{number}"
    draft.rename(home / name)
    return name


def _say(out: BinaryIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line).encode() + b"\n")


def _pass_on(source: BinaryIO, out: BinaryIO, size: int) -> None:
    while size:
        piece = source.read(min(size, _PIECE))
        if not piece:
            raise ValueError("a file that ends before its size")
        out.write(piece)
        size -= len(piece)


def main(words: list[str]) -> None:
    """``give HOME MOST`` and ``take HOME FOLDER MOST``: the two processes of `keep_work`."""
    if words[0] == "give":
        give(Path(words[1]), int(words[2]), sys.stdout.buffer)
    else:
        _say(sys.stdout.buffer, take(Path(words[1]), words[2], int(words[3]), sys.stdin.buffer))


if __name__ == "__main__":
    main(sys.argv[1:])
