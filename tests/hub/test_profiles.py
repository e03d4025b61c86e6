import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import SetupError
from earthlab.hub.passes import Share
from earthlab.hub.profiles import SIZE, WORKSHOP, Profile, fit_seat, offered, parse_profiles, plan_profile

SMALL = {"slug": "petit", "title_fr": "Petit", "title_en": "Small", "cores": 1, "memory": "2 GiB"}


def parse(*profiles):
    return parse_profiles(json.dumps(profiles), "profiles.json")


def test_a_profile_is_read_with_what_is_usual_for_the_rest():
    (found,) = parse(SMALL)
    assert found == Profile("petit", "Petit", "Small", 1.0, "2 GiB")
    planned = plan_profile(found, default=True)
    assert planned["display_name"] == "Petit · Small"
    assert planned["description"].startswith("1 cœur(s), 2 GiB de mémoire au plus · 1 core(s)")
    assert planned["kubespawner_override"] == {
        "cpu_limit": 1.0, "cpu_guarantee": 0.1, "mem_limit": 2**31, "mem_guarantee": 2**30,
    }  # fmt: skip


def test_image_and_nodes_are_of_the_profile_that_names_them():
    more = {"image": "earthlab/lab:0.2.0", "nodes": {"gpu": "oui"}, "cores_kept": 0.5, "memory_kept": "512 MiB"}
    override = plan_profile(parse(SMALL | more)[0], default=False)["kubespawner_override"]
    assert (override["image"], override["node_selector"]) == ("earthlab/lab:0.2.0", {"gpu": "oui"})
    assert (override["cpu_guarantee"], override["mem_guarantee"]) == (0.5, 2**29)


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ((), "holds no list of profiles"),
        ((SMALL | {"slug": "Petit!"},), "slug is 'Petit!', expected small letters"),
        (({key: SMALL[key] for key in SMALL if key != "memory"},), "profile petit lacks 'memory'"),
        ((SMALL | {"core": 2},), "profile petit has no field 'core'.*cores"),
        ((SMALL | {"cores": "two"},), "cores is 'two', expected a number of cores"),
        ((SMALL | {"cores": 0},), "cores is 0, expected a number of cores from 0.05"),
        ((SMALL | {"cores": True},), "cores is True"),
        ((SMALL | {"memory": "much"},), "memory is 'much', expected a size"),
        ((SMALL | {"memory": 4},), "memory is 4, expected text"),
        ((SMALL | {"memory_kept": "3 GiB"},), "sets 3 GiB aside of 2 GiB at most"),
        ((SMALL | {"cores_kept": 2},), "sets 2.0 cores aside of 1.0 at most"),
        ((SMALL | {"groups": [1]},), "groups is 1, expected text"),
        ((SMALL, SMALL), "more than one profile is called petit"),
        ((SMALL | {"groups": ["chercheurs"]},), "the first profile, petit, is for chercheurs alone"),
    ],
)
def test_what_is_not_right_is_refused_by_name(profiles, words):
    with pytest.raises(SetupError, match=rf"profiles\.json.*{words}"):
        parse(*profiles)


@pytest.mark.parametrize("text", ["", "{", '{"slug": "petit"}', "[1]"])
def test_what_is_no_list_of_profiles_is_refused(text):
    with pytest.raises(SetupError, match=r"profiles\.json (is not JSON|holds no list)"):
        parse_profiles(text, "profiles.json")


def test_everybody_is_offered_the_first_and_members_more_in_their_order():
    large = SMALL | {"slug": "grand", "groups": ["chercheurs", "doctorants"]}
    profiles = parse(SMALL, large, SMALL | {"slug": "moyen"})
    assert [each.slug for each in offered(profiles, set())] == ["petit", "moyen"]
    assert [each.slug for each in offered(profiles, {"doctorants"})] == ["petit", "grand", "moyen"]


@given(st.floats(0.05, 1024), st.integers(1, 10**6))
def test_a_pod_is_never_kept_more_than_it_may_take(cores, memory):
    (found,) = parse(SMALL | {"cores": cores, "memory": f"{memory} MiB"})
    override = plan_profile(found, default=True)["kubespawner_override"]
    assert 0 < override["cpu_guarantee"] <= override["cpu_limit"]
    assert 0 < override["mem_guarantee"] <= override["mem_limit"]


def test_the_labs_own_profile_is_one_that_a_file_could_hold():
    given = {
        name: getattr(WORKSHOP, name) for name in ("slug", "title_fr", "title_en", "cores", "memory", "cores_kept")
    }
    assert parse(given | {"memory_kept": WORKSHOP.memory_kept}) == (WORKSHOP,)


@given(st.integers(2**20, 2**36), st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
def test_a_seat_gets_what_its_workshop_has_planned_and_never_more_than_the_profile(memory, cores):
    (profile,) = parse(SMALL)
    size = {name: plan_profile(profile, default=True)["kubespawner_override"][name] for name in SIZE}
    found = fit_seat(size, Share(memory, cores))
    assert found["mem_limit"] == min(memory, size["mem_limit"])
    assert found["mem_guarantee"] <= found["mem_limit"]
    assert found["cpu_limit"] == size["cpu_limit"]
    assert found["cpu_guarantee"] == min(size["cpu_guarantee"] * cores, size["cpu_limit"])
