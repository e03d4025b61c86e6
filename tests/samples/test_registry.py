"""The registry against the real files, and what it says of them."""

import re
from pathlib import Path

import pandas as pd
import pytest

from earthlab import samples
from earthlab.errors import BadRequest
from earthlab.samples.fetching import check_file
from earthlab.samples.registry import read_registry

_CONVERTED_HERE = {"s2_water_amazon/sen2_rstoolbox_L2A.tif", "flux_fr_pue/FR_Pue_May_2012.csv"}


@pytest.mark.parametrize("name", list(read_registry()))
def test_every_registered_file_is_the_shared_one_to_the_byte(name: str, shared_data: Path):
    sample = samples.about(name)
    for file in sample.files:
        path = shared_data / name / file.path
        assert path.stat().st_size == file.bytes
        check_file(sample, file, path)


def test_every_shared_topic_is_registered_unless_upstream_has_it_in_another_form(shared_data: Path):
    topics = {path.name for path in shared_data.iterdir() if path.is_dir()}
    assert topics - set(read_registry()) == {"s2_water_amazon", "oso_nomenclature"}


def test_files_converted_here_are_not_registered():
    registered = {f"{sample.name}/{file.path}" for sample in read_registry().values() for file in sample.files}
    assert not registered & _CONVERTED_HERE


def test_every_file_has_an_address_at_a_pinned_commit():
    pinned = re.compile(r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/\S+")
    for sample in read_registry().values():
        for file in sample.files:
            assert pinned.fullmatch(file.url), file


def test_every_sample_states_its_licence_and_its_citation():
    for sample in read_registry().values():
        assert sample.citation
        assert all(origin.licence for origin in sample.origins)
        assert sample.title_fr
        assert sample.title_en


def test_a_missing_licence_is_carried_as_it_is_stated():
    assert "no licence file" in samples.about("somlit").licence
    assert "GPL-3.0" in samples.about("theia_n3a").licence


def test_the_catalogue_is_a_table_of_names_licences_sizes_and_citations():
    table = samples.catalog()
    assert isinstance(table, pd.DataFrame)
    assert {"name", "title", "licence", "files", "bytes", "citation"} <= set(table.columns)
    row = table.set_index("name").loc["insar_pyrate"]
    assert row["files"] == 107
    assert row["licence"] == "Apache-2.0"


def test_a_citation_names_the_licence():
    said = samples.cite("theia_n3a")
    assert "Theia" in said
    assert "Etalab" in said


@pytest.mark.parametrize("ask", [samples.fetch, samples.cite, samples.about])
def test_an_unknown_name_gets_the_nearest_one(ask):
    with pytest.raises(BadRequest, match="Nearest: insar_pyrate"):
        ask("insar_pirate")
