"""What participants are given: notebooks of the lab, or of a git repository at one commit, fetched once and kept.

Repositories are other people's: nothing of them is run, checked out or followed elsewhere; single files are read out of
a mirror without a work tree.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from earthlab.errors import BadRequest, NothingFound, SetupError
from earthlab.hub.handout import MANIFEST, ORIGINALS, write_handout
from earthlab.services.workshops.store import Lesson
from earthlab.services.workshops.text import Notebook, Source, Workshop

LARGEST_NOTEBOOK = 10 * 2**20
LARGEST_MIRROR = 512 * 2**20
PATIENCE = 180.0
"""Seconds that fetching a repository may take."""


@dataclass(frozen=True, slots=True)
class Document:
    """A notebook to hand out: what the wall must know of it, and its text."""

    lesson: Lesson
    text: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where notebooks come from.

    ``lab`` holds the lab's own, ``mirrors`` what was fetched; ``repositories``, where it is set, is the folder under
    which ``file://`` addresses may lie.
    """

    lab: Path
    mirrors: Path
    repositories: Path | None = None

    def gather(self, workshop: Workshop) -> list[Document]:
        """All notebooks of a workshop; a commit that was fetched before is not fetched again.

        Raises
        ------
        BadRequest
            For a notebook that is not there, too large, or none; the message names it.
        SetupError
            Where git is missing.
        """
        return [read_document(self._read(notebook), notebook) for notebook in workshop.notebooks]

    def list_lab(self) -> list[str]:
        """The places of the lab's own notebooks."""
        found = (path.relative_to(self.lab) for path in self.lab.rglob("*.ipynb"))
        return sorted(str(path) for path in found if not any(step.startswith(".") for step in path.parts))

    def _read(self, notebook: Notebook) -> bytes:
        if notebook.source is None:
            path = self.lab / notebook.path
            if not path.is_file() or path.is_symlink():
                raise BadRequest(
                    f"notebooks: {notebook.path} n’est pas parmi ceux du labo. · "
                    "It is not among the lab's. Look at its folder notebooks/."
                )
            if path.stat().st_size > LARGEST_NOTEBOOK:
                raise _too_large(notebook.path)
            return path.read_bytes()
        return read_mirrored(self._mirror(notebook.source), notebook.source.commit, notebook.path)

    def _mirror(self, source: Source) -> Path:
        parts = urlsplit(source.git)
        if parts.scheme == "file" and not self._allows(Path(parts.path)):
            raise BadRequest(
                f"git: {source.git} ne peut être lu : donnez une adresse https, ou demandez à l’opérateur. · "
                "It may not be read: folders of repositories lie under the setting "
                "workshops.repositories. Give an https address, or ask the operator."
            )
        folder = self.mirrors / hashlib.sha256(f"{source.git}\0{source.commit}".encode()).hexdigest()[:24]
        if not folder.is_dir():
            fetch(source, folder)
        return folder

    def _allows(self, folder: Path) -> bool:
        return self.repositories is not None and folder.resolve().is_relative_to(self.repositories.resolve())


def fetch(source: Source, folder: Path) -> None:
    """Bring one commit into a mirror, a bare repository that appears whole or not at all.

    Raises
    ------
    BadRequest
        Where the commit cannot be had within `PATIENCE` seconds and `LARGEST_MIRROR` bytes a file.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".arriving-", dir=folder.parent))
    try:
        run_git(draft, "init", "--quiet", "--bare", "--template=")
        run_git(draft, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
                "--", source.git, source.commit)  # fmt: skip
        if run_git(draft, "cat-file", "-t", source.commit).strip() != b"commit":
            raise BadRequest(f"commit: {source.commit} n’est pas un commit de {source.git}. · It is no commit of that.")
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_mirrored(mirror: Path, commit: str, path: str) -> bytes:
    """One plain file of a mirror.

    Raises
    ------
    BadRequest
        For what is not there, not a plain file, or larger than `LARGEST_NOTEBOOK`.
    """
    listed = run_git(mirror, "ls-tree", "-z", "-l", commit, "--", path).split(b"\0")[0]
    words = listed.partition(b"\t")[0].split()
    if len(words) != 4 or words[0] not in {b"100644", b"100755"}:
        raise BadRequest(
            f"notebooks: {path} n’est pas un fichier du commit {commit[:12]}. · "
            "It is not a file of that commit. Give its path in it."
        )
    if int(words[3]) > LARGEST_NOTEBOOK:
        raise _too_large(path)
    return run_git(mirror, "cat-file", "blob", words[2].decode("ascii"))


def run_git(folder: Path, *arguments: str) -> bytes:
    """What git says, run without anybody's configuration, hooks, prompts or redirects.

    Raises
    ------
    BadRequest
        Where it fails or takes too long.
    SetupError
        Where it is missing.
    """
    program = shutil.which("git", path="/usr/local/bin:/usr/bin:/bin")
    if program is None:
        raise SetupError("git is missing, which fetches repositories. Install it (Debian: apt install git).")
    options = {
        "core.hooksPath": "/dev/null", "protocol.allow": "never", "protocol.https.allow": "always",
        "protocol.file.allow": "always", "http.followRedirects": "false", "transfer.fsckObjects": "true",
        "submodule.recurse": "false", "credential.helper": "", "gc.auto": "0", "maintenance.auto": "false",
    }  # fmt: skip
    if authorities := os.environ.get("SSL_CERT_FILE"):
        # Which git does not read by itself.
        options["http.sslCAInfo"] = authorities
    given = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    command = ["prlimit", f"--fsize={LARGEST_MIRROR}", "--", program, "-C", str(folder), *given, *arguments]
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "/bin/false",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        **{name: os.environ[name] for name in ("https_proxy", "no_proxy") if name in os.environ},
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BadRequest(
            f"git: {arguments[0]} a pris plus de {PATIENCE:g} s, réessayez. · "
            f"It took more than {PATIENCE:g} s. Try again, or a smaller repo."
        ) from exc
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split())[:300]
        raise BadRequest(
            f"git: {arguments[0]} a échoué, vérifiez l’adresse et le commit. · "
            f"It failed: {words} Check the address and the commit."
        )
    return done.stdout


def read_document(content: bytes, notebook: Notebook) -> Document:
    """A notebook as it is handed out: every cell has an id, so that the wall can name it, and no output.

    Raises
    ------
    BadRequest
        For what is no notebook, holds no code or knows no cell of a checkpoint.
    """
    try:
        found = json.loads(content)
        cells = [_handed_out(cell, number) for number, cell in enumerate(found["cells"], 1)]
        fitting = found["nbformat"] == 4
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise BadRequest(
            f"notebooks: {notebook.path} n’est pas un carnet. · It is not a notebook (nbformat 4)."
        ) from exc
    ids = [str(cell["id"]) for cell in cells]
    code = tuple(str(c["id"]) for c in cells if c["cell_type"] == "code" and "".join(c.get("source", "")).strip())
    if not fitting or not code or len(set(ids)) != len(ids):
        raise BadRequest(
            f"notebooks: {notebook.path} doit contenir du code, chaque cellule avec son identifiant (nbformat 4). · "
            "It must be of nbformat 4 and hold code, each cell with its own id."
        )
    for checkpoint in notebook.checkpoints:
        if checkpoint not in ids:
            raise BadRequest(
                f"notebooks: {notebook.path} n’a pas de cellule {checkpoint!r}, donnée comme point de reprise. · "
                "It has no such cell, which is one of its checkpoints."
            )
    text = json.dumps(found | {"cells": cells, "nbformat_minor": max(5, found.get("nbformat_minor", 0))}, indent=1)
    return Document(Lesson(notebook.path, notebook.part, code, notebook.checkpoints), text + "\n")


def _handed_out(cell: Mapping[str, Any], number: int) -> dict[str, Any]:
    fresh: dict[str, Any] = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    return {"id": f"cellule-{number}", "metadata": {}, **cell, **fresh}


def write_material(
    folder: Path, workshop: Workshop, documents: Sequence[Document], *, warmed: Sequence[str] = ()
) -> None:
    """Lay a workshop's material out for all accounts to read; what was there makes way for it.

    Parameters
    ----------
    warmed : sequence of str, optional
        Tokens of the cubes that its warm-up has put into the store.
    """
    manifest = {
        "slug": workshop.slug,
        "title": " · ".join(workshop.title.values()),
        "contact": workshop.contact,
        "notebooks": [asdict(each.lesson) for each in documents],
        "pairs": workshop.pairs,
        "warmed": list(warmed),
    }
    folder.parent.mkdir(exist_ok=True)
    # Whatever the umask of the shell that this was asked from.
    folder.parent.chmod(0o755)
    write_handout(folder, manifest, {each.lesson.path: each.text for each in documents})


def read_material(folder: Path) -> dict[str, Any]:
    """What `write_material` has laid out, for those who cannot read it there: the manifest, and each notebook's text.

    Raises
    ------
    NothingFound
        Where nothing is laid out.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise NothingFound(f"{folder.name}: nothing is handed out. Its seats are not open.") from exc
    paths = [row["path"] for row in manifest["notebooks"]]
    texts = {path: (folder / ORIGINALS / path).read_text(encoding="utf-8") for path in paths}
    return {"manifest": manifest, "originals": texts}


def note_warmed(folder: Path, warmed: Sequence[str]) -> None:
    """Have participants find in the store what a warm-up has put there, where their material is laid out."""
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    draft = folder / f".{MANIFEST}.arriving"
    draft.write_text(json.dumps(said | {"warmed": list(warmed)}, indent=1), encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(folder / MANIFEST)


def _too_large(path: str) -> BadRequest:
    return BadRequest(
        f"notebooks: {path} dépasse {LARGEST_NOTEBOOK >> 20} MiB, effacez ses sorties. · "
        "It is larger than that. Clear its outputs."
    )
