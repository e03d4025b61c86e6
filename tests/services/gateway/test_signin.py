"""Whether a request may be answered for a cluster: who asks, whose it is, and whether the request only reads."""

from types import SimpleNamespace

import pytest
from dask_gateway_server.models import User

from earthlab.services.gateway.shared import owner_of
from earthlab.services.gateway.signin import Caller

OWN, SHARED = SimpleNamespace(username="ada"), SimpleNamespace(username=owner_of("neige"))
OTHERS, BOBS = SimpleNamespace(username=owner_of("givre")), SimpleNamespace(username="bob")


def caller(*, reads):
    return Caller(User("ada", {"ateliers"}), shared=frozenset({owner_of("neige")}), reads=reads)


@pytest.mark.parametrize("reads", [True, False])
def test_ones_own_cluster_may_be_read_and_changed(reads):
    assert caller(reads=reads).has_permissions(OWN)


def test_a_shared_cluster_may_be_read_and_not_changed():
    assert caller(reads=True).has_permissions(SHARED)
    assert not caller(reads=False).has_permissions(SHARED)


@pytest.mark.parametrize("cluster", [OTHERS, BOBS])
def test_what_others_share_or_have_may_not_even_be_read(cluster):
    assert not caller(reads=True).has_permissions(cluster)


def test_who_is_asking_stays_who_they_are():
    asking = caller(reads=True)
    assert (asking.name, asking.groups, asking.admin) == ("ada", {"ateliers"}, False)
