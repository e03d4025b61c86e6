"""The printed passes of a workshop: cards to cut out, ten a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from itertools import groupby
from pathlib import Path

import segno
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from earthlab.errors import SetupError
from earthlab.hub.links import entry_url
from earthlab.hub.passes import Pass, show_code

COLUMNS, ROWS = 2, 5

_PLAIN, _BOLD, _CODE = "EarthLabSans", "EarthLabSansBold", "EarthLabMonoBold"
# DejaVu: Latin, Greek and Cyrillic whole, and a monospaced zero that nobody takes for an O.
_FILES = {_PLAIN: "DejaVuSans.ttf", _BOLD: "DejaVuSans-Bold.ttf", _CODE: "DejaVuSansMono-Bold.ttf"}

_MARGIN = 10 * mm
_WIDTH = (A4[0] - 2 * _MARGIN) / COLUMNS
_HEIGHT = (A4[1] - 2 * _MARGIN) / ROWS
_INSIDE = 5 * mm
_QR = 35 * mm
_QUIET = 4
"""Modules of white around a QR code, ISO/IEC 18004 section 9.1."""

_GREY = 0.35
"""On white a contrast of 7.4 to 1."""

_MONTHS = {
    "fr": (
        *("janvier", "février", "mars", "avril", "mai", "juin"),
        *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    ),
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
}


@dataclass(frozen=True, slots=True)
class _Words:
    """What is the same on every card."""

    title: Mapping[str, str]
    until: Mapping[str, str]
    url: str
    contact: str


def render_sheet(
    passes: Sequence[Pass], *, title: Mapping[str, str], closes: datetime, url: str, contact: str
) -> bytes:
    """The passes as a PDF of A4 pages: QR code of the link, code, seat, address to type, last day.

    Parameters
    ----------
    passes : sequence of Pass
        In the order of the cards.
    title : mapping
        The workshop's, by language: ``fr`` and ``en``.
    closes : datetime
        Until when the passes are good; said in its own zone.
    url : str
        The lab's public address, without a slash at its end.
    contact : str
        Whom to ask for help; may be empty.

    Raises
    ------
    SetupError
        Where the fonts, which come with matplotlib, are not there.
    """
    _register_fonts()
    words = _Words(title, _say_until(closes), url, contact)
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, pageCompression=1, invariant=1, lang="fr")
    canvas.setTitle(title["fr"])
    canvas.setSubject("Passes · Passes")
    canvas.setCreator("EarthLab")
    for first in range(0, len(passes), COLUMNS * ROWS):
        _draw_page(canvas, passes[first : first + COLUMNS * ROWS], words)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@cache
def _register_fonts() -> None:
    home = find_spec("matplotlib")
    folder = Path(home.origin or "").parent / "mpl-data" / "fonts" / "ttf" if home else Path("matplotlib")
    for name, file in _FILES.items():
        if not (folder / file).is_file():
            raise SetupError(f"the font {folder / file} is missing, with which passes are printed. Install matplotlib.")
        pdfmetrics.registerFont(TTFont(name, folder / file))


def _say_until(closes: datetime) -> dict[str, str]:
    day = {tongue: f"{closes.day} {months[closes.month - 1]} {closes.year}" for tongue, months in _MONTHS.items()}
    return {
        "fr": f"Jusqu’au {day['fr']}, {closes:%H} h {closes:%M}",
        "en": f"Until {day['en']}, {closes:%H:%M}",
    }


def _draw_page(canvas: Canvas, passes: Sequence[Pass], words: _Words) -> None:
    for at, issued in enumerate(passes):
        row, column = divmod(at, COLUMNS)
        canvas.saveState()
        canvas.translate(_MARGIN + column * _WIDTH, A4[1] - _MARGIN - (row + 1) * _HEIGHT)
        _draw_card(canvas, issued, words)
        canvas.restoreState()


def _draw_card(canvas: Canvas, issued: Pass, words: _Words) -> None:
    canvas.setLineWidth(0.4)
    canvas.setStrokeGray(0.6)
    canvas.setDash(2, 2)
    canvas.rect(0, 0, _WIDTH, _HEIGHT)
    _write(canvas, words.title["fr"], _INSIDE, _HEIGHT - 8 * mm, _WIDTH - 2 * _INSIDE, _BOLD, 11)
    _write(canvas, words.title["en"], _INSIDE, _HEIGHT - 12 * mm, _WIDTH - 2 * _INSIDE, _PLAIN, 8, _GREY)
    _draw_qr(canvas, entry_url(words.url, issued.code), _INSIDE - 1.5 * mm, 3 * mm)
    left = _INSIDE + _QR + 1 * mm
    width = _WIDTH - left - _INSIDE
    for text, height, font, size, grey in (
        (f"Place · Seat {issued.seat}", 35.5, _BOLD, 13, 0.0),
        (show_code(issued.code), 28.5, _CODE, 15, 0.0),
        ("Scannez, ou tapez ce code à l’adresse", 23.7, _PLAIN, 7, 0.0),
        ("Scan, or type this code at", 20.7, _PLAIN, 7, _GREY),
        (words.url, 16.7, _BOLD, 9, 0.0),
        ("Sert une seule fois · Works once", 12.7, _BOLD, 7, 0.0),
        (words.until["fr"], 9.7, _PLAIN, 7, 0.0),
        (words.until["en"], 6.7, _PLAIN, 7, _GREY),
        (f"Aide · Help: {words.contact}" if words.contact else "", 3.7, _PLAIN, 7, _GREY),
    ):
        _write(canvas, text, left, height * mm, width, font, size, grey)


def _write(
    canvas: Canvas, text: str, x: float, y: float, width: float, font: str, size: float, grey: float = 0.0
) -> None:
    """One line that never leaves its card: smaller, then shorter."""
    line = "".join(letter for letter in " ".join(text.split()) if ord(letter) in _glyphs(font))
    while size > 6 and pdfmetrics.stringWidth(line, font, size) > width:
        size -= 0.25
    shown = line
    while pdfmetrics.stringWidth(shown, font, size) > width:
        line = line[:-1]
        shown = f"{line.rstrip()}…"
    canvas.setFillGray(grey)
    canvas.setFont(font, size)
    canvas.drawString(x, y, shown)


def _glyphs(font: str) -> Mapping[int, int]:
    found: Mapping[int, int] = pdfmetrics.getFont(font).face.charToGlyph
    return found


def _draw_qr(canvas: Canvas, text: str, x: float, y: float) -> None:
    code = segno.make(text, error="m", micro=False)
    size = len(code.matrix)
    module = _QR / (size + 2 * _QUIET)
    canvas.saveState()
    canvas.translate(x + _QUIET * module, y + _QUIET * module)
    canvas.scale(module, module)
    canvas.setFillGray(0)
    path = canvas.beginPath()
    for row, start, length in _runs(code.matrix):
        path.rect(start, size - 1 - row, length, 1)
    canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()


def _runs(matrix: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, int]]:
    """Dark modules side by side, as row, first column and length: no hair of white is printed between them."""
    for row, modules in enumerate(matrix):
        column = 0
        for dark, group in groupby(modules):
            length = len(list(group))
            if dark:
                yield row, column, length
            column += length
