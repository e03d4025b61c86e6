"""A descriptor of the test's own, which is all that a provider with a known dialect takes."""

import pytest

POLE = """
id = "essai"
kind = "provider"
title = {{ fr = "Essai", en = "Trial" }}
portal = "https://essai.example"

[[endpoints]]
id = "essai"
title = {{ fr = "Essai", en = "Trial" }}
url = "{url}"
dialect = "{dialect}"
{words}

{collections}
"""

COLLECTION = """
[[collections]]
id = "{id}"
upstream = '''{upstream}'''
title = {{ fr = "Titre", en = "Title" }}
licence = "etalab-2.0"
access = "open"
citation = "Essai."
endpoint = "essai"
"""


@pytest.fixture
def describe(bare_environment, monkeypatch):
    """Write the descriptor of the endpoint ``essai``; ``collections`` maps the lab's ids to the provider's."""
    monkeypatch.setenv("EARTHLAB__CATALOGUE__TIMEOUT", "3")
    written = bare_environment / "descriptors"

    def write(dialect, url, *, words="", **collections):
        tables = [COLLECTION.format(id=name, upstream=upstream) for name, upstream in collections.items()]
        folder = written / str(len(list(written.glob("*"))) if written.exists() else 0)
        folder.mkdir(parents=True)
        text = POLE.format(url=url, dialect=dialect, words=words, collections="\n".join(tables))
        (folder / "essai.toml").write_text(text)
        monkeypatch.setenv("EARTHLAB__CATALOGUE__DESCRIPTORS", str(folder))

    return write
