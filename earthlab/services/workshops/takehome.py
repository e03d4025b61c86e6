"""``python -m earthlab.services.workshops.takehome SLUG``: writes what a participant takes home as a zip to its output.

It runs as the participant's own account, in the participant's home: whatever lies there, it opens nothing that the
participant could not. Links are not followed, and what is too much is left out and named in the zip.
"""

import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from earthlab.hub.handout import ORIGINALS

LARGEST_FILE = 50 * 2**20
LARGEST_ZIP = 200 * 2**20
MOST_FILES = 2000
_DEEPEST = 20
_CHUNK = 1 << 20
_LEFT_OUT = {".ipynb_checkpoints", "__pycache__", ORIGINALS}

_README = """# {title}

## Continuer chez vous

Ce dossier contient vos carnets de l'atelier, tels que vous les avez exécutés.

1. Pour les lire : ouvrez un fichier `.ipynb` avec JupyterLab, VS Code, ou tout autre lecteur de carnets.
2. Pour les exécuter au labo : demandez un compte à la personne de contact ci-dessous, puis déposez ce dossier dans
   JupyterLab (bouton « Envoyer des fichiers »). Les données que les carnets cherchent y sont à portée.
3. Pour les exécuter chez vous : installez Python 3.11 et le paquet `earthlab`, puis `jupyter lab` dans ce dossier.
   La recherche de données demande alors l'accès à un catalogue STAC (`EARTHLAB__CATALOGUE__URL`).

Contact : {contact}

## Going on at home

This folder holds your notebooks of the workshop, as you executed them.

1. To read them: open a file `.ipynb` in JupyterLab, VS Code or any other reader of notebooks.
2. To run them at the lab: ask the contact below for an account, then put this folder into JupyterLab (button
   "Upload Files"). The data that the notebooks search are at hand there.
3. To run them at home: install Python 3.11 and the package `earthlab`, then `jupyter lab` in this folder.
   Searching data then takes access to a STAC catalogue (`EARTHLAB__CATALOGUE__URL`).

Contact: {contact}
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A plain file, open: its place in the zip and its size in bytes."""

    place: str
    size: int
    file: BinaryIO


def write_takehome(home: str, slug: str, title: str, contact: str, output: IO[bytes]) -> list[str]:
    """Write the zip.

    Parameters
    ----------
    home : str
        Folder in which the workshop's folder ``slug`` lies; without one, the zip holds the README alone.
    output : file
        Written to from beginning to end.

    Returns
    -------
    list of str
        What was left out, which the README tells too.
    """
    written = number = 0
    left_out: list[str] = []
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for found in _walk(home, slug):
            with found.file:
                if found.size > LARGEST_FILE or written + found.size > LARGEST_ZIP or number >= MOST_FILES:
                    left_out.append(found.place)
                    continue
                number += 1
                written += _copy(found, archive)
        archive.writestr(f"{slug}/LISEZMOI-README.md", _readme(title, contact, left_out))
    return left_out


def _copy(found: Found, archive: zipfile.ZipFile) -> int:
    # Not more than was seen, however fast the file grows.
    left = found.size
    with archive.open(found.place, "w") as target:
        while left and (chunk := found.file.read(min(left, _CHUNK))):
            target.write(chunk)
            left -= len(chunk)
    return found.size - left


def _readme(title: str, contact: str, left_out: list[str]) -> str:
    words = _README.format(title=title, contact=contact)
    if left_out:
        named = "".join(f"- {place}\n" for place in left_out[:50])
        words += f"\n## Laissé de côté, trop volumineux · Left out, too large ({len(left_out)})\n\n{named}"
    return words


def _walk(home: str, slug: str) -> Iterator[Found]:
    try:
        base = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        yield from _walk_folder(base, slug, slug, 0)
    finally:
        os.close(base)


def _walk_folder(parent: int, name: str, place: str, depth: int) -> Iterator[Found]:
    # A link, or gone, or not for us: it is not the participant's work.
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        return
    try:
        with os.scandir(folder) as entries:
            kinds = {found.name: found.is_dir(follow_symlinks=False) for found in entries}
        for entry, is_folder in sorted(kinds.items()):
            if entry in _LEFT_OUT or entry.startswith("."):
                continue
            if not is_folder:
                yield from _open_file(folder, entry, f"{place}/{entry}")
            elif depth < _DEEPEST:
                yield from _walk_folder(folder, entry, f"{place}/{entry}", depth + 1)
    finally:
        os.close(folder)


def _open_file(folder: int, name: str, place: str) -> Iterator[Found]:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return
    file = os.fdopen(handle, "rb")
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode):
        yield Found(place, status.st_size, file)
    else:
        file.close()


def main(arguments: list[str]) -> int:
    """Write the zip of this account's home to the standard output."""
    slug, title, contact = arguments
    write_takehome(str(Path.cwd()), slug, title, contact, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
