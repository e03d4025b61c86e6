from earthlab.services.gateway.groups import plan_cluster_limits

GIB = 2**30


def test_a_cluster_may_have_what_all_of_its_owners_workers_may_beyond_what_they_start_with():
    limits = plan_cluster_limits(4, 2 * GIB)
    assert 8 * GIB < limits.memory < 10 * GIB


def test_what_computes_in_the_background_goes_behind_who_types():
    assert plan_cluster_limits(1, GIB).cpu_weight < 100
