"""The long tables of communities are the matrices of vegan and iNEXT."""

import numpy as np
import pytest
import rdata

from earthlab.services.stac.extracts.communities import EXTRACTS

VEGAN, INEXT = EXTRACTS


def table(extract, shared_data):
    (source,) = extract.open_sources(shared_data / extract.sample)
    (shot,) = source.shots
    return shot.sheets[0].frame


def original(shared_data, name):
    return next(iter(rdata.read_rda(shared_data / f"{name}.rda", default_encoding="utf-8").values()))


@pytest.mark.parametrize("name", ["dune", "mite", "varespec"])
def test_a_matrix_of_vegan_comes_back_from_its_rows(shared_data, name):
    rows = table(VEGAN, shared_data).query("dataset == @name")
    matrix = original(shared_data, f"vegan/{name}")
    again = rows.pivot(index="site", columns="species", values="abundance").fillna(0)
    expected = matrix.set_axis(matrix.index.astype(str))
    np.testing.assert_array_equal(again.reindex(index=expected.index, columns=expected.columns, fill_value=0), expected)


def test_meadows_have_their_management(shared_data):
    rows = table(VEGAN, shared_data)
    assert rows[rows.dataset == "dune"].groupby("group").site.nunique().to_dict() == {
        "BF": 3,
        "HF": 5,
        "NM": 6,
        "SF": 6,
    }
    assert rows[rows.dataset != "dune"].group.isna().all()


def test_birds_ants_and_ciliates_have_their_totals_and_units(shared_data):
    rows = table(INEXT, shared_data)
    bird = original(shared_data, "inext/bird")
    assert rows[rows.dataset == "bird"].groupby("site").abundance.sum().to_dict() == bird.sum().astype(float).to_dict()
    for site, values in original(shared_data, "inext/ant").items():
        found = rows[(rows.dataset == "ant") & (rows.site == str(site))]
        assert found.units.unique().tolist() == [values[0]]
        assert found.abundance.tolist() == [value for value in values[1:] if value > 0]
    for region, matrix in original(shared_data, "inext/ciliates").items():
        found = rows[(rows.dataset == "ciliates") & (rows.group == str(region))]
        assert (found.abundance.sum(), found.site.nunique()) == (int(matrix.sum()), matrix.shape[1])
    assert (rows.abundance > 0).all()


@pytest.mark.parametrize(("extract", "licence"), [(VEGAN, "GPL-2.0-only"), (INEXT, "GPL-3.0-or-later")])
def test_a_collection_has_the_licence_of_its_package(shared_data, extract, licence):
    (source,) = extract.open_sources(shared_data / extract.sample)
    assert source.collection.license == licence
    assert (source.collection.id,) == extract.collections
