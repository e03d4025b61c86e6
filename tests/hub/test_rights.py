"""What the hub knows of a person, and that nobody gets a folder where all share one account."""

from types import SimpleNamespace

from earthlab.hub.cubes import open_licensed_cubes
from earthlab.hub.layout import Layout
from earthlab.hub.rights import describe_person


def test_a_person_is_what_the_hub_says_and_only_texts_are_properties():
    groups = [
        SimpleNamespace(name="dinamis-science", properties={}),
        SimpleNamespace(name="org-x", properties={"dinamis-charter": "2025-03-01", "seats": 12}),
    ]
    person = describe_person(SimpleNamespace(name="ana", groups=groups), frozenset({"s"}), shared=False)
    assert person.name == "ana"
    assert person.groups == {"dinamis-science": {}, "org-x": {"dinamis-charter": "2025-03-01"}}
    assert person.scopes == {"s"}


def test_where_accounts_are_shared_no_folder_of_licensed_cubes_is_made(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run", "0123abcd")
    open_licensed_cubes(layout, "shared", "nobody", ["dinamis"])
    assert not list(tmp_path.iterdir())
