"""The lab's notebooks as cards: what each asks, what it looks like, and a working copy of one's own."""

import base64
import binascii
import io
import json
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import earthlab
from earthlab.errors import AskLess, NothingFound, SetupError
from earthlab_lab.desk import Desk
from earthlab_lab.routes import Asked, File, Route
from earthlab_lab.schemas import COUNT, FLAG, WORDS, Schema, listed, maybe, one_of, render_words, shape, text

LEVELS = ("début", "intermédiaire", "avancé")
"""What a notebook's metadata may say of how much it takes for granted: ``earthlab.level``."""

MOST_PICTURE = 40_000
"""Bytes of a card's picture."""

SIZE = 480, 270
"""Most width and height of it, in pixels."""

PICTURES = Path(__file__).parent / "pictures"
"""What notebooks draw, which hold no pictures themselves: made by ``scripts/draw_pictures.py``."""

CARDS: Schema = listed(
    shape(
        {
            "id": text(200), "pole": text(60), "pole_title": WORDS, "title": WORDS, "question": WORDS, "summary": WORDS,
            "level": maybe(one_of(*LEVELS)), "minutes": COUNT, "languages": listed(text(10), 10), "picture": FLAG,
        }
    ),
    500,
)  # fmt: skip
"""``minutes``: reading time, by the length of the text and of the code."""

COPY_ASKED: Schema = shape({"id": text(200, least=1)})
COPIED: Schema = shape({"path": text(4000)})
"""Below the folder that JupyterLab shows, with slashes."""

_FIRST = "start"
"""The folder of notebooks that are of no pole."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_LARGEST_OUTPUT = 20_000_000
_MOST_PICTURES = 200
_MOST_COPIES = 999
_WORDS_A_MINUTE, _LINES_A_MINUTE = 200, 10


def shipped_notebooks() -> Path:
    """The folder of notebooks that comes with the lab: of the checkout, else where the wheel put it."""
    checkout = Path(earthlab.__file__).resolve().parents[1]
    found = checkout if (checkout / "pyproject.toml").is_file() else Path(sys.prefix).resolve() / "share" / "earthlab"
    return found / "notebooks"


@dataclass(slots=True)
class Shelf:
    """The lab's notebooks, each by the name of its pole and its own: ``theia/neige``.

    Parameters
    ----------
    folder : Path
        Holds a folder a pole.
    home : Path
        What JupyterLab shows: there copies go.
    pictures : Path
        Holds pictures of those that hold none themselves.
    """

    folder: Path
    home: Path
    pictures: Path = PICTURES
    _pictures: "OrderedDict[tuple[str, int], bytes | None]" = field(default_factory=OrderedDict)

    def notebooks(self) -> dict[str, Path]:
        """The notebooks there are."""
        return {
            f"{path.parent.name}/{path.stem}": path
            for path in sorted(self.folder.glob("*/*.ipynb"))
            if _NAME.fullmatch(path.parent.name) and _NAME.fullmatch(path.stem)
        }

    def find(self, name: str) -> Path:
        """The file of a notebook.

        Raises
        ------
        NothingFound
            For a name that no notebook of the lab has.
        """
        found = self.notebooks().get(name)
        if found is None:
            raise NothingFound(
                f"Aucun carnet du labo ne s’appelle {name!r} : choisissez dans la galerie. | "
                f"No notebook of the lab is called {name!r}: choose one in the gallery."
            )
        return found

    def cards(self) -> list[dict[str, Any]]:
        """What there is to choose from, of the form `CARDS`: what begins first, and the easy before the hard."""
        titles = _pole_titles()
        found = [
            _render_card(name, notebook, titles, pictured=self._is_pictured(name, notebook))
            for name, path in self.notebooks().items()
            if (notebook := _read_notebook(path)) is not None
        ]
        return sorted(found, key=_place)

    def picture(self, name: str) -> bytes:
        """A notebook's picture as WebP of at most `MOST_PICTURE` bytes; the last ones are kept.

        Raises
        ------
        NothingFound
            For a notebook that is not there, or has none.
        """
        path = self.find(name)
        key = (name, path.stat().st_mtime_ns)
        if key not in self._pictures:
            self._pictures[key] = _read_picture(path, self.pictures / picture_name(name))
            while len(self._pictures) > _MOST_PICTURES:
                self._pictures.popitem(last=False)
        found = self._pictures[key]
        if found is None:
            raise NothingFound(f"{name} n’a pas d’image. | {name} has no picture.")
        return found

    def _is_pictured(self, name: str, notebook: Mapping[str, Any]) -> bool:
        return (self.pictures / picture_name(name)).is_file() or next(_outputs(notebook), None) is not None

    def copy(self, name: str) -> str:
        """Lay a copy of a notebook into the home, beside whatever is there; gives its place below the home.

        Raises
        ------
        AskLess
            Where there are too many copies already.
        NothingFound
            For a name that no notebook of the lab has.
        SetupError
            Where the home takes nothing in.
        """
        source = self.find(name)
        try:
            return self._lay_beside(source, self.home / "notebooks" / source.parent.name)
        except OSError as exc:
            raise SetupError(
                f"La copie de {name} n’a pas pu être écrite ({exc.strerror}) : faites de la place chez vous. | "
                f"The copy of {name} could not be written ({exc.strerror}): make room in your home."
            ) from exc

    def _lay_beside(self, source: Path, folder: Path) -> str:
        content = source.read_bytes()
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MOST_COPIES + 1):
            target = folder / f"{source.stem}-copie{'' if number == 1 else f'-{number}'}.ipynb"
            if _write_new(target, content):
                return target.relative_to(self.home).as_posix()
        raise AskLess(
            f"Vous avez déjà {_MOST_COPIES} copies de {source.name} : effacez-en. | "
            f"You already have {_MOST_COPIES} copies of {source.name}: delete some."
        )


def make_gallery_routes(desk: Desk, home: Path, folder: Path | None = None) -> tuple[Route, ...]:
    """The routes of the gallery.

    Parameters
    ----------
    home : Path
        The folder that JupyterLab shows.
    folder : Path, optional
        Of the notebooks; by default of those that come with the lab.
    """
    shelf = Shelf(folder or shipped_notebooks(), home)

    async def read_cards(_asked: Asked) -> list[dict[str, Any]]:
        return await desk.work(shelf.cards)

    async def read_picture(asked: Asked) -> File:
        found = await desk.work(lambda: shelf.picture(asked.parts[0]))
        return File(found, "image/webp", keep=3600)

    async def copy(asked: Asked) -> dict[str, str]:
        return {"path": await desk.work(lambda: shelf.copy(asked.words["id"]))}

    return (
        Route("GET", "gallery", read_cards, gives=CARDS),
        Route("GET", r"gallery/([a-z0-9-]+/[a-z0-9-]+)/picture", read_picture),
        Route("POST", "gallery/copy", copy, COPY_ASKED, COPIED),
    )


def _read_notebook(path: Path) -> Mapping[str, Any] | None:
    """A notebook, or None for a file that is none: the other cards are shown all the same."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("cells"), list) and found["cells"] else None


def _render_card(
    name: str, notebook: Mapping[str, Any], titles: Mapping[str, Mapping[str, str]], *, pictured: bool
) -> dict[str, Any]:
    pole = name.partition("/")[0]
    told = notebook.get("metadata", {}).get("earthlab", {})
    heading, french, english = _read_opening(_source(notebook["cells"][0]))
    title, _, question = heading.partition(" : ")
    return {
        "id": name,
        "pole": pole,
        "pole_title": render_words(titles.get(pole, {"fr": pole})),
        "title": render_words(told.get("title", {"fr": title or name})),
        "question": render_words(told.get("question", {"fr": question})),
        "summary": render_words({"fr": french, "en": english}),
        "level": told["level"] if told.get("level") in LEVELS else None,
        "minutes": estimate_minutes(notebook),
        "languages": [str(each)[:10] for each in told.get("languages", ["fr"])][:10],
        "picture": pictured,
    }


def _place(card: Mapping[str, Any]) -> tuple[Any, ...]:
    level = LEVELS.index(card["level"]) if card["level"] else len(LEVELS)
    return card["pole"] != _FIRST, card["pole"], level, card["id"]


def estimate_minutes(notebook: Mapping[str, Any]) -> int:
    """Minutes that reading takes at 200 words and ten lines of code a minute; what one tries oneself comes on top."""
    cells = [(cell.get("cell_type"), _source(cell)) for cell in notebook["cells"]]
    words = sum(len(re.findall(r"\w+", source)) for kind, source in cells if kind == "markdown")
    lines = sum(bool(line.strip()) for kind, source in cells if kind == "code" for line in source.split("\n"))
    return max(1, round(words / _WORDS_A_MINUTE + lines / _LINES_A_MINUTE))


def _read_opening(source: str) -> tuple[str, str, str]:
    """Heading, first paragraph, and the paragraph in English, of the cell with which a notebook begins."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", source) if part.strip()]
    heading = parts[0].lstrip("# ") if parts and parts[0].startswith("#") else ""
    english = next((part.strip("*_ ") for part in parts if part.strip("*_ ").startswith("In English")), "")
    french = next((part for part in parts if not part.startswith(("#", "*In English", ">"))), "")
    english = english.removeprefix("In English").lstrip(" :")
    return heading, french.replace("**", ""), (english[:1].upper() + english[1:]).replace("**", "")


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def _pole_titles() -> dict[str, dict[str, str]]:
    from earthlab.catalog import load_poles  # a second of imports, where no template has made them

    return {pole.id: dict(pole.title) for pole in load_poles()} | {_FIRST: {"fr": "Pour commencer", "en": "To begin"}}


def _outputs(notebook: Mapping[str, Any]) -> Iterator[str]:
    """Pictures that a notebook holds, in base64."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    yield "".join(output["data"][kind])


def picture_name(name: str) -> str:
    """What the picture of a notebook is called among `PICTURES`."""
    return f"{name.replace('/', '--')}.webp"


def _read_picture(path: Path, shipped: Path) -> bytes | None:
    """The first picture that a notebook holds, else the one that comes with the lab."""
    notebook = _read_notebook(path)
    for output in _outputs(notebook) if notebook else ():
        if len(output) <= _LARGEST_OUTPUT and (found := _scale(output)) is not None:
            return found
    return shipped.read_bytes() if shipped.is_file() else None


def _scale(output: str) -> bytes | None:
    """A picture in base64, as small as a card shows it; None for what is no picture, so that the next is tried."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(output, validate=False))) as found:
            found.thumbnail(SIZE)
            return encode_picture(found.convert("RGBA"))
    except (OSError, ValueError, binascii.Error, Image.DecompressionBombError):
        return None


def encode_picture(picture: Any, qualities: Sequence[int] = (85, 60, 30)) -> bytes | None:
    """A picture as WebP, as good as `MOST_PICTURE` bytes allow; None where they do not allow any."""
    for quality in qualities:
        written = io.BytesIO()
        picture.save(written, "WEBP", quality=quality, method=4)
        if written.tell() <= MOST_PICTURE:
            return written.getvalue()
    return None


def _write_new(target: Path, content: bytes) -> bool:
    """Write a file where there is nothing, not even a link; whether it was written."""
    try:
        file = target.open("xb")
    except FileExistsError:
        return False
    with file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            target.unlink(missing_ok=True)
            raise
    return True
