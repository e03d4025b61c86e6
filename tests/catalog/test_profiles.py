"""Descriptors: what is not right in one is refused by name."""

import pytest

from earthlab.catalog.dialects import open_catalogue
from earthlab.catalog.profiles import DIALECTS, all_endpoints, find_profile, load_poles
from earthlab.errors import SetupError
from earthlab.testing.providers import catalogue, provider

HEAD = 'id = "essai"\ntitle = { fr = "E", en = "E" }\nportal = ""\n'
END = '[[endpoints]]\nid = "e"\ntitle = { fr = "E", en = "E" }\nurl = "https://x.example"\ndialect = "stac"\n'
COL = '[[collections]]\nid = "c"\ntitle = { fr = "C", en = "C" }\nlicence = ""\naccess = "open"\ncitation = ""\n'


@pytest.fixture
def write(bare_environment, monkeypatch):
    folder = bare_environment / "descriptors"
    folder.mkdir()
    monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(folder))

    def put(text, name="essai.toml"):
        (folder / name).write_text(text)

    return put


def test_a_descriptor_says_all_that_is_known(write):
    more = (
        'endpoint = "e"\nupstream = "C-1"\nconcepts = ["https://w3id.org/x"]\nlicence_stated = "Apache-2.0"\n'
        'doi = "10.1/x"\nplatforms = ["SWOT"]\ninstruments = ["KaRIn"]\nperiod = ["2015-06-23", ".."]\n'
        'stock = { fr = "peu", en = "little" }\n'
        'grid = { crs = "EPSG:2154", resolution = 10 }\ntime = { start = "begin", end = "end" }\nsource = "ici"\n'
        'themes = { fr = ["eau"], en = ["water"] }\n'
    )
    write(
        HEAD + "[[rules]]\nid = 'x'\n" + END + 'page = 80\nsigner = "s"\naccount = "key"\nsource = "ici"\n' + COL + more
    )
    profile = find_profile("c")
    assert profile is not None
    assert (profile.pole, profile.name_there, profile.period) == ("essai", "C-1", ("2015-06-23", ".."))
    assert (profile.grid.resolution, profile.time.start, profile.themes["fr"]) == (10, "begin", ("eau",))
    (endpoint,) = [e for e in all_endpoints() if e.pole == "essai"]
    assert (endpoint.page, endpoint.account, endpoint.signer) == (80, "key", "s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id = ", "essai.toml is not valid TOML"),
        (HEAD.replace("portal", "portail"), "'portal' is missing"),
        (HEAD + END + 'dialekt = "x"\n', "endpoint 'e' has 'dialekt', which is not known. Nearest: dialect"),
        (HEAD + END.replace('"stac"', '"stak"'), "dialect is 'stak', expected one of stac, geodes"),
        (HEAD + END + 'account = "yes"\n', "account is 'yes', expected one of none, key, login"),
        (HEAD + 'kind = "x"\n', "kind is 'x', expected one of pole, provider"),
        (HEAD.replace('fr = "E", ', ""), "title is .* expected texts for fr and en"),
        (HEAD + END + END, "describe endpoint 'e' more than once"),
        (HEAD + COL + COL, "describe collection 'c' more than once"),
        (HEAD.replace('"essai"', '"theia"', 1), "describe pole 'theia' more than once"),
        (HEAD + COL + 'endpoint = "f"\n', "names the endpoint 'f', which no descriptor has"),
        (HEAD + COL + 'period = ["2020", "2019"]\n', "before it begins"),
        (HEAD + COL + 'period = "2020"\n', "essai.toml: "),
        (HEAD + COL + "grid = { size = 3 }\n", "essai.toml: "),
        (HEAD + "endpoints = 3\n", "essai.toml: "),
    ],
)
def test_a_descriptor_that_is_not_right_is_refused_by_name(write, text, words):
    write(text)
    with pytest.raises(SetupError, match=words):
        load_poles()


def test_a_folder_of_descriptors_that_is_none_is_refused(bare_environment, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(bare_environment / "absent"))
    with pytest.raises(SetupError, match=r"catalogue.descriptors is .*absent, which is not a folder"):
        load_poles()


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "portal"])
def test_every_dialect_that_a_descriptor_may_name_is_spoken(write, dialect):
    with provider(catalogue([])) as running:
        write(HEAD + END.replace('"stac"', f'"{dialect}"').replace("https://x.example", running.url))
        opened = open_catalogue("e")
    assert opened.url == running.url
    asked = getattr(opened, "inner", opened)
    assert (type(asked).__name__ == "StacApi") == (dialect == "stac")
