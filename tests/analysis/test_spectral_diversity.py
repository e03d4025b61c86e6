"""Spectral diversity on planted mosaics, under permutations, and on the real forest of Bouconne."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.dissimilarity import bray_curtis
from earthlab.analysis.diversity import indices
from earthlab.analysis.spectral_diversity import alpha_diversity, beta_diversity, spectral_species
from earthlab.errors import BadRequest


def mosaic(kinds, *, bands=5, noise=0.003, seed=0) -> xr.Dataset:
    random = np.random.default_rng(seed)
    spectra = np.random.default_rng(12).random((bands, int(kinds.max()) + 1))
    values = spectra[:, kinds] + random.normal(0, noise, (bands, *kinds.shape))
    coords = {"y": -10.0 * np.arange(kinds.shape[0]), "x": 10.0 * np.arange(kinds.shape[1])}
    return xr.Dataset({f"b{at}": (("y", "x"), values[at].astype("float32")) for at in range(bands)}, coords)


def planted(windows=(1, 2, 4, 8), side=16) -> np.ndarray:
    place = np.arange(side * side).reshape(side, side)
    return np.concatenate([place % count for count in windows], axis=1)


def test_a_planted_mosaic_has_the_diversity_it_was_made_with():
    species = spectral_species(mosaic(planted()), clusters=8, repeats=4)
    found = alpha_diversity(species, window=16)
    np.testing.assert_allclose(found.shannon.values[0], np.log([1, 2, 4, 8]), atol=1e-6)
    np.testing.assert_allclose(found.hill_1.values[0], [1, 2, 4, 8], rtol=1e-6)
    np.testing.assert_allclose(found.hill_2.values[0], [1, 2, 4, 8], rtol=1e-6)
    np.testing.assert_allclose(found.simpson.values[0], [0, 0.5, 0.75, 0.875], atol=1e-6)
    np.testing.assert_array_equal(found.richness.values[0], [1, 2, 4, 8])
    assert found.shannon_error.max() < 1e-9


def test_windows_alike_lie_together_and_windows_unlike_apart():
    kinds = np.zeros((20, 40), int)
    kinds[:, 20:] = 3
    kinds[::2, :20] = 1
    kinds[::2, 20:] = 2
    species = spectral_species(mosaic(kinds), clusters=4, repeats=3)
    found = beta_diversity(species, window=10)
    left, right = found.axis_1.values[:, :2], found.axis_1.values[:, 2:]
    assert np.ptp(left) < 1e-6 > np.ptp(right)
    assert abs(left.mean() - right.mean()) == pytest.approx(1, abs=1e-6)
    assert found.attrs["explained"][0] == pytest.approx(1)
    assert ((found.red >= 0) & (found.red <= 1)).all()


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(5)), st.permutations(range(4)))
def test_the_order_of_bands_and_of_pixels_within_a_window_does_not_matter(bands, columns):
    scene = mosaic(planted())
    expected = alpha_diversity(spectral_species(scene, clusters=8, repeats=1), window=16).shannon.values[0]
    mixed = xr.Dataset({f"b{band}": scene[f"b{band}"] for band in bands})
    order = np.concatenate([16 * column + np.random.default_rng(column).permutation(16) for column in columns])
    moved = mixed.isel(x=order).assign_coords(x=scene.x)
    found = alpha_diversity(spectral_species(moved, clusters=8, repeats=1), window=16).shannon.values[0]
    np.testing.assert_allclose(found, expected[columns], atol=1e-6)


def test_what_is_counted_is_what_the_botanist_s_formulas_give():
    random = np.random.default_rng(0)
    codes = xr.DataArray(random.integers(0, 6, (1, 20, 30)), dims=("repeat", "y", "x"))
    found = alpha_diversity(codes, window=10, least_share=0)
    beta = beta_diversity(codes, window=10, least_share=0)
    blocks = codes.values[0].reshape(2, 10, 3, 10).transpose(0, 2, 1, 3).reshape(6, 100)
    matrix = pd.DataFrame([np.bincount(block, minlength=6) for block in blocks])
    np.testing.assert_allclose(found.shannon.values.ravel(), indices(matrix).shannon)
    places = np.stack([beta[f"axis_{at}"].values.ravel() for at in (1, 2, 3)], axis=1)
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    assert np.corrcoef(apart.ravel(), bray_curtis(matrix).to_numpy().ravel())[0, 1] > 0.9


def test_rare_species_and_windows_in_the_dark_are_left_out():
    codes = np.zeros((1, 10, 20), int)
    codes[0, 0, 0] = 1
    codes[0, :, 10:] = -1
    codes[0, :2, 10:] = 2
    species = xr.DataArray(codes, dims=("repeat", "y", "x"))
    found = alpha_diversity(species)
    assert (found.richness[0, 0], found.shannon[0, 0]) == (1, 0)
    assert np.isnan(found.shannon[0, 1])
    assert found.sun.values.tolist() == [[1.0, 0.2]]
    assert alpha_diversity(species, least_share=0).richness[0, 0] == 2
    assert not np.isnan(alpha_diversity(species, least_sun=0.2).shannon[0, 1])


def test_pixels_without_data_have_no_species_and_a_seed_gives_the_same():
    scene = mosaic(planted())
    scene["b1"][:4] = np.nan
    one, two = (spectral_species(scene, clusters=8, repeats=2, seed=3) for _ in range(2))
    assert (one[:, :4] == -1).all()
    assert (one[:, 4:] >= 0).all()
    xr.testing.assert_identical(one, two)
    lazy = spectral_species(scene.chunk(y=5), clusters=8, repeats=2, seed=3)
    xr.testing.assert_identical(lazy, one)


def test_windows_that_were_not_sampled_take_the_place_of_those_like_them():
    kinds = np.repeat(np.repeat(np.arange(16).reshape(4, 4) % 2, 10, 0), 10, 1)
    species = spectral_species(mosaic(kinds), clusters=2, repeats=2)
    whole, some = beta_diversity(species), beta_diversity(species, samples=6)
    assert np.ptp(some.axis_1.values[kinds[::10, ::10] == 0]) < 1e-3
    assert abs(np.corrcoef(whole.axis_1.values.ravel(), some.axis_1.values.ravel())[0, 1]) > 0.99


def test_windows_of_a_real_forest_hold_several_kinds_and_repeats_agree(shared_data):
    with rasterio.open(shared_data / "theia_n3a" / "2018_3A_Theia_Bouconne.tif") as source:
        values = source.read().astype("float32") / 10_000
    scene = xr.DataArray(values, dims=("feature", "y", "x"))
    found = alpha_diversity(spectral_species(scene, clusters=20, repeats=2, samples=8_000))
    assert found.shannon.shape == (24, 22)
    assert 1 < float(found.shannon.mean()) < np.log(20)
    assert float(found.shannon_error.mean()) < 0.2


SPECIES = xr.DataArray(np.zeros((1, 20, 20), int), dims=("repeat", "y", "x"))


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: spectral_species(mosaic(planted()).rename(y="row")), "expected bands with axes y and x"),
        (lambda: spectral_species(mosaic(planted()), clusters=1), "clusters=1"),
        (lambda: spectral_species(mosaic(planted()), clusters=5_000), "expected 5000 or more"),
        (lambda: spectral_species(mosaic(planted()), components=9), "expected some of 0 to 4"),
        (lambda: spectral_species(mosaic(planted()) * np.nan), "0 pixels have every band"),
        (lambda: spectral_species(mosaic(planted()) * 0 + 1), "every pixel is the same"),
        (lambda: alpha_diversity(SPECIES.isel(repeat=0)), "axes repeat, y, x"),
        (lambda: alpha_diversity(SPECIES, window=30), "expected 1 to 20 pixels"),
        (lambda: alpha_diversity(SPECIES, least_share=2), "expected shares"),
        (lambda: beta_diversity(SPECIES - 1), "0 windows have enough"),
    ],
)
def test_bad_input_ends_in_a_sentence(refused, words):
    with pytest.raises(BadRequest, match=words):
        refused()


def test_stored_numbers_that_mark_no_data_are_no_species():
    cube = (mosaic(planted()) * 10_000).round().astype("int16")
    for name in cube.data_vars:
        cube[name][:3, :3] = -9999
        cube[name].attrs["_FillValue"] = -9999
    found = spectral_species(cube.rename(y="lat", x="lon"), clusters=8, repeats=2, components=np.int64(2))
    assert (found[:, :3, :3] == -1).all()
    assert (found[:, 3:, 3:] >= 0).all()
    reopened = found.where(found >= 0)
    xr.testing.assert_allclose(alpha_diversity(reopened, window=5), alpha_diversity(found, window=5))
