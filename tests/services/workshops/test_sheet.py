import re
from datetime import datetime
from io import BytesIO
from zoneinfo import ZoneInfo

import pypdf
import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.hub.links import entry_url
from earthlab.hub.passes import ALPHABET, Pass, norm_code
from earthlab.services.workshops.sheet import render_sheet

URL = "https://lab.example.org"
CLOSES = datetime(2026, 9, 22, 18, 5, tzinfo=ZoneInfo("Europe/Paris"))
CODES = ["K7Q4M2XA9PDF", "000000001111", *(f"{n:02d}ABCDEFGHJK" for n in range(11))]
PASSES = [Pass(seat, code) for seat, code in enumerate(CODES, start=1)]
TITLE = {"fr": "Neige et eau : l’œil de Sentinel-2 à Théia", "en": "Snow and water: what Sentinel-2 sees"}


def read(passes=PASSES, **words):
    words = {"title": TITLE, "closes": CLOSES, "url": URL, "contact": "animation@example.org"} | words
    return pypdf.PdfReader(BytesIO(render_sheet(passes, **words)))


def codes_in(text):
    return [norm_code(found) for found in re.findall(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", text)]


def test_each_pass_is_on_one_card_and_nothing_else_is_in_the_file():
    pages = read().pages
    assert [len(codes_in(page.extract_text())) for page in pages] == [10, 3]
    text = "\n".join(page.extract_text() for page in pages)
    assert codes_in(text) == CODES
    assert re.findall(r"Place · Seat (\d+)", text) == [str(number) for number in range(1, 14)]
    for page in pages:
        assert "/Annots" not in page
        for other in page.extract_text().splitlines():
            assert len(other) < 80


def test_a_card_says_in_both_languages_what_it_is_for_how_and_until_when():
    text = read(PASSES[:1]).pages[0].extract_text()
    for words in (
        *TITLE.values(),
        "Scannez, ou tapez ce code à l’adresse",
        "Scan, or type this code at",
        "https://lab.example.org",
        "Sert une seule fois · Works once",
        "Jusqu’au 22 septembre 2026, 18 h 05",
        "Until 22 September 2026, 18:05",
        "Aide · Help: animation@example.org",
    ):
        assert words in text


def test_no_line_is_cut_with_the_longest_date_and_a_usual_address():
    text = read(PASSES[:1], url="https://earthlab.data-terra.org").pages[0].extract_text()
    assert "…" not in text


def test_a_title_of_any_length_and_letters_stays_on_its_card():
    text = read(PASSES[:1], title={"fr": "é" * 400 + "\n🌍", "en": ""}, contact="").pages[0].extract_text()
    assert "ééé…" in text
    assert "🌍" not in text
    assert "Help" not in text


def test_every_font_is_embedded_and_the_code_is_set_in_one_that_tells_0_from_o():
    fonts = read().pages[0]["/Resources"]["/Font"]
    embedded = {font["/BaseFont"]: font for font in (one.get_object() for one in fonts.values())}
    used = {name: font for name, font in embedded.items() if "DejaVu" in name}
    assert any("Mono" in name for name in used)
    assert all("/FontFile2" in font["/FontDescriptor"] for font in used.values())
    # The PDF always names Helvetica as its first font; nothing is set in it.
    assert set(embedded) - set(used) <= {"/Helvetica"}
    drawn = read().pages[0].get_contents().get_data()
    helvetica = next((name for name, font in fonts.items() if font.get_object()["/BaseFont"] == "/Helvetica"), "/none")
    assert b"(" not in b"".join(re.findall(rb"%s [\d.]+ Tf(.*?)ET" % helvetica.encode(), drawn, re.DOTALL))


def squares(page):
    """The modules that each card's QR code draws dark, as sets of (row, column) from the lower left."""
    found = []
    for block in re.findall(r"((?:\S+ \S+ \S+ \S+ re\s+){9,})", page.get_contents().get_data().decode("latin-1")):
        runs = [tuple(map(float, run)) for run in re.findall(r"(\S+) (\S+) (\S+) (\S+) re", block)]
        found.append({(int(y), int(x) + more) for x, y, width, _ in runs for more in range(int(width))})
    return found


def expected(code):
    matrix = segno.make(entry_url(URL, code), error="m", micro=False).matrix
    return {(len(matrix) - 1 - row, at) for row, line in enumerate(matrix) for at, dark in enumerate(line) if dark}


def test_each_qr_code_is_that_of_its_cards_link_module_by_module():
    drawn = [modules for page in read().pages for modules in squares(page)]
    assert drawn == [expected(code) for code in CODES]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(ALPHABET, min_size=12, max_size=12), min_size=1, max_size=25, unique=True))
def test_all_codes_come_out_again_in_order(codes):
    pages = read([Pass(seat, code) for seat, code in enumerate(codes, start=1)]).pages
    assert [code for page in pages for code in codes_in(page.extract_text())] == codes
    assert len(pages) == -(-len(codes) // 10)


def test_the_same_passes_make_the_same_file():
    words = {"title": TITLE, "closes": CLOSES, "url": URL, "contact": "x"}
    assert render_sheet(PASSES, **words) == render_sheet(PASSES, **words)


@pytest.mark.parametrize("count", [1, 10, 11])
def test_there_are_as_many_pages_as_the_cards_take(count):
    assert len(read(PASSES[:count]).pages) == -(-count // 10)
