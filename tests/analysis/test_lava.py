"""Lava paths and their reach: DOWNFLOWGO's published run at Piton de la Fournaise, planes, valleys and pits."""

import numpy as np
import odc.geo.xr  # noqa: F401 - it registers `.odc`
import pandas as pd
import pytest
import rioxarray
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.lava import Lava, flow_paths, overlap, runout_table, steepest_descent, thermal_runout
from earthlab.errors import BadRequest

VENT = (369_050.0, 7_647_086.0)


def dem(values, step=10.0):
    values = np.asarray(values, "float64")
    rows, columns = (np.arange(size) * step for size in values.shape)
    return xr.DataArray(values, dims=("y", "x"), coords={"y": 4_000.0 - rows, "x": 700.0 + columns}, name="height")


def plane(east, north, size=40):
    empty = dem(np.zeros((size, size)))
    return (empty + 500 + east * (empty.x - 700) + north * (empty.y - 4_000)).transpose("y", "x")


@pytest.fixture(scope="module")
def reunion(shared_data):
    folder = shared_data / "reunion_lava"
    ground = rioxarray.open_rasterio(folder / "srtm_48_17_utm.asc")[0].astype("float64")
    ground = ground.where(ground != -32768)
    reference = rioxarray.open_rasterio(folder / "outputs/vent_1/sim_vent_1.tif")[0]
    profile = pd.read_csv(folder / "outputs/vent_1/map/losd_vent_1_profile_00000.txt", sep="\t")
    return ground, reference, profile.rename(columns={"L": "distance", "z": "height"})


def as_downflow_places(ground):
    """Its heights at the lower left corners of its pixels, where DOWNFLOW's paths have them: half a pixel off."""
    half = float(ground.x[1] - ground.x[0]) / 2
    return ground.assign_coords(x=ground.x - half, y=ground.y - half)


def test_the_footprint_of_downflow_is_met_by_at_least_nine_tenths(reunion):
    ground, reference, _ = reunion
    assert int((reference > 0).sum()) == 427
    found = [
        overlap(flow_paths(as_downflow_places(ground), VENT, seed=seed, like=reference).probability, reference)
        for seed in range(5)
    ]
    assert min(one.fitness for one in found) >= 0.9
    assert min(one.hit for one in found) >= 0.97
    right = overlap(flow_paths(ground, VENT, like=reference).probability, reference)
    assert 0.7 <= right.fitness < 0.85


def test_the_runouts_of_flowgo_are_reproduced(reunion, shared_data):
    profile = reunion[2]
    told = pd.read_csv(shared_data / "reunion_lava/outputs/vent_1/results_flowgo/run_outs_vent_1.csv")
    found = runout_table(profile, told["Effusion_rate"])
    np.testing.assert_array_equal(found["distance"].round(), told["Distance_run_out"])
    np.testing.assert_allclose(found["depth"], told["Depth"], atol=1e-9)
    assert list(found["reason"]) == ["solid", *["sea or rim"] * 5]


def test_every_state_of_flowgo_down_the_channel_is_reproduced(reunion, shared_data):
    path = shared_data / "reunion_lava/outputs/vent_1/results_flowgo/results_flowgo_vent_1_5m3s.csv"
    told = pd.read_csv(path).set_index("position")
    found = thermal_runout(reunion[2], 5).states
    names = {
        "core_temperature": "temperature",
        "crystal_fraction": "crystals",
        "mean_velocity": "velocity",
        "viscosity": "viscosity",
        "channel_width": "width",
    }
    for theirs, ours in names.items():
        np.testing.assert_allclose(found[ours], told[theirs], rtol=1e-9, err_msg=theirs)


def test_the_published_profile_repeats_one_slope_and_the_right_slopes_end_it_earlier(reunion):
    # DOWNFLOW stops computing slopes after as many points as its path has corners: 538 of 686 share the last one.
    profile = reunion[2]
    assert int((profile["slope"] == profile["slope"].iloc[-1]).sum()) == 538
    right = profile.assign(slope=np.degrees(np.arctan(-np.gradient(profile["height"], profile["distance"]))))
    np.testing.assert_allclose(right["slope"][:147], profile["slope"][:147], atol=0.1)
    found = runout_table(right, [5, 10, 15])
    assert list(found["distance"].round()) == [3989, 6567, 6847]
    assert list(found["reason"]) == ["solid", "solid", "sea or rim"]


def test_the_line_of_steepest_descent_reaches_the_sea_where_the_published_one_does(reunion):
    ground, _, told = reunion
    found = steepest_descent(as_downflow_places(ground), VENT)
    assert found["x"].iloc[0] == pytest.approx(told["x"].iloc[0], abs=0.01)
    ends = [np.hypot(found[name].iloc[-1], 0) - told[name].iloc[-1] for name in ("x", "y")]
    assert np.hypot(*ends) < 90
    assert found["distance"].iloc[-1] == pytest.approx(6847, rel=0.01)
    assert (np.diff(found["height"]) <= 1e-6).mean() > 0.97


@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
@settings(max_examples=60, deadline=None)
def test_on_a_plane_the_line_is_straight_down(east, north):
    steep = np.hypot(east, north)
    if steep < 0.05:
        return
    ground = plane(east, north)
    vent = (float(ground.x[20]), float(ground.y[20]))
    line = steepest_descent(ground, vent, step=5.0)
    away = np.stack([line["x"] - vent[0], line["y"] - vent[1]], 1)
    across = away @ np.array([north, -east]) / steep
    np.testing.assert_allclose(across, 0, atol=1e-5)
    np.testing.assert_allclose(line["slope"], np.degrees(np.arctan(steep)), atol=1e-6)
    assert line["distance"].iloc[-1] > 150
    assert line["height"].iloc[0] == pytest.approx(float(ground[20, 20]))


def test_paths_gather_in_a_valley_and_spread_on_a_smooth_slope():
    ground = plane(0.0, 0.2)
    valley = ground + abs(ground.x - float(ground.x[20])) * 0.5
    vent = (float(ground.x[20]), float(ground.y[2]))
    smooth, narrow = (flow_paths(one, vent, paths=2_000, noise=1.0) for one in (ground, valley.transpose("y", "x")))
    assert float(narrow.probability[20, 20]) == 1
    assert float(smooth.probability[35].max()) < 0.5
    east, west = (float(smooth.probability[30, side].sum()) for side in (slice(21, None), slice(None, 20)))
    assert east == pytest.approx(west, rel=0.1)
    assert float(smooth.probability[30].sum()) > 1
    assert smooth.attrs["reached_edge"] == 1


def test_the_standard_error_of_a_probability_is_that_of_its_paths():
    ground = plane(0.02, 0.2)
    vent = (float(ground.x[20]), float(ground.y[4]))
    runs = [flow_paths(ground, vent, paths=400, noise=1.5, seed=seed) for seed in range(200)]
    shares = np.stack([run.probability[20:34, 10:30] for run in runs])
    errors = np.stack([run.standard_error[20:34, 10:30] for run in runs])
    truth = flow_paths(ground, vent, paths=100_000, noise=1.5, seed=999).probability[20:34, 10:30].values
    some = truth > 0.05
    held = np.abs(shares - truth) <= 1.96 * errors
    assert 0.92 <= held[:, some].mean() <= 0.97
    assert np.abs(shares.mean(axis=0) - truth)[some].max() < 0.01


def test_a_pit_fills_and_overflows_and_a_sea_ends_a_path():
    ground = plane(0.0, 0.2).values
    ground[10:13, 19:22] -= 3
    ground[30:] = np.nan
    found = flow_paths(dem(ground), (900.0, 3_960.0), paths=50, noise=0.1, seed=4)
    assert found.attrs["reached_edge"] == 1
    assert float(found.probability[28].sum()) > 0.9
    line = steepest_descent(dem(ground), (900.0, 3_960.0))
    assert line["y"].iloc[-1] < 3_730
    assert line["height"].notna().all()


def test_the_same_seed_gives_the_same_paths_and_rows_may_run_north():
    ground = plane(0.1, 0.3).astype("float32")
    vent = (float(ground.x[20]), float(ground.y[5]))
    first, again, other = (flow_paths(ground, vent, paths=300, seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, again)
    assert float(np.abs(first.probability - other.probability).sum()) > 0
    turned = steepest_descent(ground[::-1], vent)
    pd.testing.assert_frame_equal(turned, steepest_descent(ground, vent), atol=1e-3)
    short = flow_paths(ground, vent, paths=100, longest=60.0)
    assert short.attrs["reached_edge"] == 0
    invented = flow_paths(ground.assign_attrs(comment="DONNÉES SIMULÉES"), vent, paths=2)
    assert "SIMUL" in invented.probability.attrs["comment"]
    assert float(short.probability.sum()) < float(first.probability.sum())


def test_more_lava_flows_farther_and_a_hotter_crust_ends_it_sooner():
    rough = np.full(2_000, 8.0)
    profile = pd.DataFrame({"distance": np.arange(2_000) * 10.0, "slope": rough})
    table = runout_table(profile, [1, 3, 9, 27])
    assert table["distance"].is_monotonic_increasing
    assert table.attrs["units"]["distance"] == "m"
    hot = thermal_runout(profile, 3, Lava(crust_temperature=1100.0, air_temperature=293.15))
    assert hot.distance < table["distance"].iloc[1]
    assert hot.states["temperature"].is_monotonic_decreasing
    assert hot.states["crystals"].is_monotonic_increasing


def test_overlap_by_hand():
    one, other = dem([[1, 1, 0], [np.nan, 0, 0.2]]), dem([[1, 0, 0], [0, 1, 1]])
    found = overlap(one, other)
    assert (found.shared, found.either) == (2, 4)
    assert (found.fitness, found.hit, found.right) == pytest.approx((0.5, 2 / 3, 2 / 3))


GROUND = plane(0.1, 0.3)
PROFILE = pd.DataFrame({"distance": [0.0, 10.0, 20.0, 30.0], "slope": [8.0, 8.0, 8.0, 8.0]})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: flow_paths(GROUND, (0.0, 0.0)), "lies outside the model, whose x is 700 to 1090"),
        (lambda: flow_paths(GROUND.where(GROUND < 0), (800.0, 3_900.0)), "Is it in the sea"),
        (lambda: flow_paths(GROUND, (800.0, 3_900.0), paths=0), "at least 1"),
        (lambda: flow_paths(GROUND, (800.0, 3_900.0), paths=10.5), "whole number, at least 1"),
        (lambda: flow_paths(GROUND, (800.0, 3_900.0), noise=-1), "from 0"),
        (lambda: flow_paths(GROUND, (800.0, 3_900.0), seed=-1), "whole number from 0"),
        (lambda: flow_paths(GROUND.rename(y="latitude", x="longitude"), (800.0, 3_900.0)), "in degrees"),
        (lambda: flow_paths(GROUND.odc.assign_crs("EPSG:4326"), (800.0, 3_900.0)), "in degrees"),
        (lambda: flow_paths(GROUND.expand_dims(time=2), (800.0, 3_900.0)), "two axes"),
        (lambda: flow_paths(GROUND.assign_attrs(units="ft"), (800.0, 3_900.0)), "'ft'"),
        (lambda: steepest_descent(GROUND, (800.0, 3_900.0), step=0), "above 0"),
        (lambda: steepest_descent(GROUND, (700.0, 4_000.0)), "at the rim"),
        (lambda: overlap(GROUND, GROUND[1:]), "40 and 39 pixels"),
        (lambda: overlap(GROUND * 0, GROUND * 0), "neither holds"),
        (lambda: thermal_runout(PROFILE.drop(columns="slope"), 5), "no column slope"),
        (lambda: thermal_runout(PROFILE.assign(slope=0.0), 5), "0 sloping points"),
        (lambda: thermal_runout(PROFILE[::-1], 5), "ascend"),
        (lambda: thermal_runout(PROFILE, 0), "expected more than 0"),
        (lambda: thermal_runout(PROFILE, 1e9), "50 m of depth"),
    ],
)
def test_what_cannot_flow_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_a_file_of_one_band_with_holes_of_minus_9999_is_ground_with_a_sea():
    sea = GROUND.where(GROUND.y > 3_800)
    file = sea.fillna(-9999).expand_dims(band=[1])
    expected, found = (flow_paths(model, (800.0, 3_900.0), paths=50, seed=2) for model in (sea, file))
    np.testing.assert_array_equal(found.probability, expected.probability)
    turned = flow_paths(file[0].transpose("x", "y"), (800.0, 3_900.0), paths=50, seed=2)
    np.testing.assert_array_equal(turned.probability, expected.probability)


def test_footprints_are_compared_place_by_place():
    one = dem([[1, 1, 0], [np.nan, 0, 0.2]])
    assert overlap(one, one.transpose("x", "y")).fitness == 1
    with pytest.raises(BadRequest, match="pixels apart"):
        overlap(one, one.assign_coords(x=one.x + 10))


def test_one_effusion_rate_is_a_table_of_one():
    profile = pd.DataFrame({"distance": np.arange(0.0, 3_000, 10), "slope": 12.0})
    assert list(runout_table(profile, 5).index) == [5.0]
