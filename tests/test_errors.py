"""What ends a refusal: the nearest known names."""

import pickle

import pytest

from earthlab import errors
from earthlab.errors import EarthlabError, ReadFault, did_you_mean


def test_the_nearest_names_are_offered_whatever_their_case():
    assert did_you_mean("Theia-N3A", ["theia-n3a", "simulation-s2-l2a"]) == "Nearest: theia-n3a."


def test_where_nothing_is_near_the_known_names_are_listed_but_not_all():
    assert did_you_mean("zzz", ["b", "a"]) == "Known: a, b."
    assert did_you_mean("zzz", [f"n{i}" for i in range(10)], most=2) == "Known: n0, n1 and 8 more."
    assert did_you_mean("zzz", []) == "There are none."


def test_something_that_is_no_text_is_answered_too():
    assert did_you_mean(None, ["time"]) == "Known: time."


@pytest.mark.parametrize("name", [n for n, kind in vars(errors).items() if isinstance(kind, type)])
def test_every_refusal_is_an_earthlab_error_and_survives_a_pickle(name):
    kind = getattr(errors, name)
    assert issubclass(kind, EarthlabError | errors.EarthlabWarning | UserWarning) or name == "Iterable"
    if issubclass(kind, Exception):
        assert str(pickle.loads(pickle.dumps(kind("trouvé / found")))) == "trouvé / found"


def test_a_read_fault_can_be_caught_as_any_refusal():
    with pytest.raises(EarthlabError):
        raise ReadFault("x")
