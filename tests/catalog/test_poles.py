"""The descriptors that come with the lab: whole, sourced, and in words that the rest of it knows."""

import re
from urllib.parse import urlsplit

import pytest

from earthlab.catalog.licences import is_licence, norm_licence
from earthlab.catalog.profiles import DIALECTS, find_profile, load_poles
from earthlab.catalog.signing.providers import find_provider
from earthlab.rights import load_rules

POLES = load_poles()
ENDPOINTS = [endpoint for pole in POLES for endpoint in pole.endpoints]
PROFILES = [profile for pole in POLES for profile in pole.collections]
DATA_TERRA = {"aeris", "dinamis", "formater", "odatis", "pndb", "theia"}
GLOBAL = {
    "copernicus",
    "copernicus-marine",
    "destination-earth",
    "earth-search",
    "eopf",
    "nasa",
    "planetary-computer",
    "usgs",
}


def named(things):
    return [pytest.param(thing, id=thing.id) for thing in things]


def test_the_poles_of_data_terra_and_the_global_providers_are_there():
    assert {pole.id for pole in POLES if pole.kind == "pole"} >= DATA_TERRA
    assert {pole.id for pole in POLES if pole.kind == "provider"} >= GLOBAL


@pytest.mark.parametrize("pole", named(pole for pole in POLES if pole.id in DATA_TERRA))
def test_a_pole_has_an_endpoint_and_a_collection(pole):
    assert pole.endpoints
    assert pole.collections


def test_ids_are_unique_and_not_those_of_poles():
    ids = [thing.id for thing in (*ENDPOINTS, *PROFILES)]
    assert len(set(ids)) == len(ids)
    assert not {profile.id for profile in PROFILES} & {pole.id for pole in POLES}


def test_every_dialect_has_an_endpoint():
    assert {endpoint.dialect for endpoint in ENDPOINTS} == set(DIALECTS)


@pytest.mark.parametrize("endpoint", named(ENDPOINTS))
def test_an_endpoint_says_where_it_is_known_from(endpoint):
    assert len(endpoint.source) > 10
    address = urlsplit(endpoint.url)
    assert (address.scheme, address.username, address.query) == ("https", None, "")
    assert "." in address.netloc


@pytest.mark.parametrize("endpoint", named(e for e in ENDPOINTS if e.signer))
def test_an_endpoints_signer_exists(endpoint):
    assert find_provider(endpoint.signer).way


@pytest.mark.parametrize("profile", named(PROFILES))
def test_a_collection_is_in_words_that_are_known(profile):
    assert profile.licence == "" or is_licence(profile.licence)
    assert profile.licence == "" or norm_licence(profile.licence) == profile.licence
    assert not profile.licence_stated or profile.licence_stated != profile.licence
    assert profile.access in {"open", "account", *(rule.id for rule in load_rules())}
    assert re.fullmatch(r"(10\.\d{4,}/\S+)?", profile.doi)
    assert all(re.match(r"https?://[^/]+/.", concept) for concept in profile.concepts)
    assert profile.citation
    assert profile.pole == "simulation" or profile.source


def test_a_collection_states_its_licence_or_its_records_do():
    recorded = {endpoint.id for endpoint in ENDPOINTS if endpoint.dialect in {"csw", "dataone", "gbif", "sensorthings"}}
    assert {profile.endpoint for profile in PROFILES if not profile.licence} <= recorded


@pytest.mark.parametrize("profile", named(p for p in PROFILES if p.endpoint in {"geodes", "hydroweb"}))
def test_where_the_provider_dates_by_ingestion_the_observation_counts(profile):
    assert profile.time is not None
    assert (profile.time.start, profile.time.end) == ("start_datetime", "end_datetime")
    assert profile.licence != profile.licence_stated == "Apache-2.0"


def test_a_portal_has_no_collections():
    portals = {endpoint.id for endpoint in ENDPOINTS if endpoint.dialect == "portal"}
    assert portals
    assert not {profile.endpoint for profile in PROFILES} & portals


@pytest.mark.parametrize("profile", named(p for p in PROFILES if any(mask.kind == "bits" for mask in p.masks.values())))
def test_a_mask_of_bits_names_bits(profile):
    assert all(mask.bits and mask.assets for mask in profile.masks.values() if mask.kind == "bits")


@pytest.mark.parametrize(
    ("collection", "number", "reflectance"),
    [
        ("landsat-c2l2-sr", 7273, 2.75e-5 * 7273 - 0.2),
        ("landsat-c2-l2", 43636, 2.75e-5 * 43636 - 0.2),
        ("sentinel2-l2a-theia", 2500, 0.25),
    ],
)
def test_the_radiometry_of_the_specifications(collection, number, reflectance):
    known = find_profile(collection).radiometry
    assert number * known.scale + known.offset == pytest.approx(reflectance)


@pytest.mark.parametrize(
    ("collection", "properties", "offset"),
    [
        ("sentinel-2-c1-l2a", {"s2:processing_baseline": "05.00"}, -0.1),
        ("sentinel-2-l1c", {"s2:processing_baseline": "03.01"}, None),
        ("sentinel-2-l1c", {"s2:processing_baseline": "04.00"}, -0.1),
        ("sentinel-s2-l2a-cogs", {}, None),
        ("sentinel-s2-l2a-cogs", {"sentinel:processing_baseline": "04.00"}, -0.1),
        (
            "sentinel-s2-l2a-cogs",
            {"sentinel:processing_baseline": "04.00", "sentinel:boa_offset_applied": True},
            0.0,
        ),
    ],
)
def test_the_offset_of_a_baseline_counts_unless_it_was_taken_out(collection, properties, offset):
    assert find_profile(collection).offset_rule.resolve(properties, None) == offset
