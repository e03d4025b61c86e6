"""Licences come in one spelling, and several of them ask what the strictest asks."""

import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.catalog.licences import is_licence, most_restrictive, norm_licence

TABLE = tomllib.loads((files("earthlab.catalog") / "licences.toml").read_text("utf-8"))
NAMES = [*TABLE["creative_commons"], *TABLE["licences"]]

SENTINEL = "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice"
LANDSAT = (
    "https://d9-wret.s3.us-west-2.amazonaws.com/assets/palladium/production/s3fs-public/atoms/files/"
    "Landsat_Data_Policy.pdf"
)

# Left: what providers' catalogues really state.
STATED = [
    ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
    ("CC-NC-BY-SA", "CC-BY-NC-SA-4.0"),
    ("CC-BY-SA", "CC-BY-SA-4.0"),
    ("cc-by-nc", "CC-BY-NC-4.0"),
    ("CC-BY-4.0.", "CC-BY-4.0"),
    ("CC-BY-4.0 (https://creativecommons.org/licenses/by-nc/4.0/)", "CC-BY-NC-4.0"),
    ("CC-BY-3.0-DE", "CC-BY-3.0-DE"),
    ("https://creativecommons.org/licenses/by-nc-nd/3.0/", "CC-BY-NC-ND-3.0"),
    ("http://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0"),
    ("http://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0-1.0"),
    ("Creative Commons License - Attribution Non Commercial 4.0 International", "CC-BY-NC-4.0"),
    ("Creative Commons Attribution-NonCommercial-NoDerivatives 4.0", "CC-BY-NC-ND-4.0"),
    ("etalab-2.0", "etalab-2.0"),
    ("Licence Ouverte / Open Licence", "etalab-2.0"),
    ("https://www.etalab.gouv.fr/licence-ouverte-open-licence", "etalab-2.0"),
    ("ODbL-1.0", "ODbL-1.0"),
    (SENTINEL, "LicenseRef-Copernicus-Sentinel-Data"),
    ("Copernicus-Sentinel-Data", "LicenseRef-Copernicus-Sentinel-Data"),
    ("Copernicus_Marine_Service_Product_License", "LicenseRef-Copernicus-Marine-Service"),
    (LANDSAT, "LicenseRef-USGS-Landsat-Data-Policy"),
    ("LicenseRef-laboratoire", "LicenseRef-laboratoire"),
    ("proprietary", "other"),
    ("various", "other"),
    ("proprietary2", "other"),
    ("Der Datensatz ist Eigentum von DLR-EOC-DFD-GZS", "other"),
    ("CC", "other"),
    ("succès", "other"),
    ("https://example.org/by/4.0", "other"),
    ("", ""),
    ("  ", ""),
    (None, ""),
]


@pytest.mark.parametrize(("stated", "licence"), STATED)
def test_what_providers_state_becomes_one_spelling(stated, licence):
    assert norm_licence(stated) == licence


@given(st.text(max_size=40))
def test_any_text_becomes_a_licence_that_descriptors_may_use_and_stays_it(text):
    found = norm_licence(text)
    assert found == "" or is_licence(found)
    assert norm_licence(found) == found


@given(st.sampled_from(NAMES), st.sampled_from([str.lower, str.upper, str.title, lambda name: f" {name} "]))
def test_the_spelling_of_a_known_licence_does_not_matter(name, written):
    assert norm_licence(written(name)) == name


TOGETHER = [
    (["CC-BY-4.0"], "CC-BY-4.0"),
    (["etalab-2.0", "CC BY-SA 4.0"], "CC-BY-SA-4.0"),
    (["etalab-2.0", "LicenseRef-Copernicus-Sentinel-Data"], "etalab-2.0"),
    (["CC-BY-3.0", "CC-BY-4.0"], "CC-BY-4.0"),
    (["CC0-1.0", "cc-by-nc", "etalab-2.0"], "CC-BY-NC-4.0"),
    (["CC-BY-NC-ND-4.0", "CC-BY-NC-4.0"], "CC-BY-NC-ND-4.0"),
    (["", None, "CC0-1.0"], "CC0-1.0"),
    (["CC0-1.0", "proprietary"], "other"),
    (["CC0-1.0", "LicenseRef-laboratoire"], "other"),
    ([], "other"),
]


@pytest.mark.parametrize(("licences", "together"), TOGETHER)
def test_data_under_several_licences_is_passed_on_under_the_strictest(licences, together):
    assert most_restrictive(licences) == together


@pytest.mark.parametrize(
    ("licences", "together"),
    [
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], "CC-BY-NC-4.0 AND CC-BY-SA-4.0"),
        (["CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"], "CC-BY-NC-SA-4.0 AND CC-BY-SA-4.0"),
        (["ODbL-1.0", "CC-BY-SA-4.0", "CC-BY-4.0"], "CC-BY-SA-4.0 AND ODbL-1.0"),
    ],
)
def test_licences_that_no_single_one_can_meet_are_all_named(licences, together):
    assert most_restrictive(licences) == together


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5))
def test_the_order_of_licences_does_not_matter_and_no_condition_is_lost(licences):
    together = most_restrictive(licences)
    assert together == most_restrictive(reversed(licences))
    kept = set().union(*(conditions(name) for name in together.split(" AND ")))
    assert kept == set().union(*(conditions(name) for name in licences))


def conditions(name):
    if name in TABLE["creative_commons"]:
        return set(name.casefold().split("-")[1:-1])
    return set(TABLE["licences"][name]["conditions"])
