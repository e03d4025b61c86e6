"""Zips of one table: Darwin Core archives by their meta, and those that cannot be read so."""

import zipfile

import pytest

from earthlab.cube.tables import table
from earthlab.errors import BadRequest
from earthlab.testing.dialects import darwin_core_archive

TERMS = ("occurrenceID", "decimalLatitude", "decimalLongitude", "eventDate")
ROWS = [("a", "45", "6", "2018-07-08"), ("b", "", "", "")]


def saved(folder, content):
    (folder / "a.zip").write_bytes(content)
    return folder / "a.zip"


def test_terms_come_from_the_meta_and_not_from_the_header(tmp_path):
    read = table(saved(tmp_path, darwin_core_archive(ROWS, TERMS, defaults={"country": "France"})))
    assert list(read.columns) == ["time", *TERMS, "country", "geometry"]
    assert read.occurrenceID.tolist() == ["a", "b"]
    assert read.geometry.isna().tolist() == [False, True]
    assert set(read.country) == {"France"}
    assert table(tmp_path / "a.zip", time="2018", columns=["country"]).country.tolist() == ["France"]


def test_an_archive_whose_core_is_something_else_is_refused(tmp_path):
    with pytest.raises(BadRequest, match=r"core of the Darwin Core archive is Event, expected Occurrence"):
        table(saved(tmp_path, darwin_core_archive(ROWS, TERMS, core="Event")))


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ("<archive", "is no XML"),
        ('<archive xmlns="http://rs.tdwg.org/dwc/text/"/>', "is nothing, expected Occurrence"),
        (
            (
                '<archive xmlns="http://rs.tdwg.org/dwc/text/"><core rowType="http://rs.tdwg.org/dwc/terms/Occurrence">'
                "<files><location>none.txt</location></files></core></archive>"
            ),
            "names 'none.txt' in its meta.xml and does not hold it",
        ),
        (
            (
                '<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="utf-8" fieldsTerminatedBy="," '
                'ignoreHeaderLines="0" rowType="http://rs.tdwg.org/dwc/terms/Occurrence"><files><location>o.txt</location>'
                '</files><field index="0" term="http://rs.tdwg.org/dwc/terms/decimalLatitude"/><field index="1" '
                'term="http://rs.tdwg.org/dwc/terms/decimalLongitude"/><field index="2" term="x/y"/></core></archive>'
            ),
            "'o.txt' of the Darwin Core archive is not in utf-8",
        ),
    ],
)
def test_a_meta_that_does_not_fit_is_told(tmp_path, meta, words):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("meta.xml", meta)
        archive.writestr("o.txt", "45,6,é\n".encode("latin-1"))
    with pytest.raises(BadRequest, match=words):
        table(tmp_path / "a.zip")


def test_a_meta_cannot_read_files_of_this_machine(tmp_path):
    (tmp_path / "secret").write_text("SECRET")
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(
            "meta.xml",
            f'{entity}<archive xmlns="http://rs.tdwg.org/dwc/text/"><core rowType="http://rs.tdwg.org/dwc/terms/'
            'Occurrence"><files><location>&e;</location></files></core></archive>',
        )
    with pytest.raises(BadRequest) as refused:
        table(tmp_path / "a.zip")
    assert "SECRET" not in str(refused.value)


def test_a_broken_zip_is_refused(tmp_path):
    with pytest.raises(BadRequest, match="the zip is broken"):
        table(saved(tmp_path, darwin_core_archive(ROWS, TERMS)[:200]))
