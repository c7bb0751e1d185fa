"""Kinematic features are what their names say, whatever the number of animals and of threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from daart_fast.api import Model
from daart_fast.config import with_defaults
from daart_fast.data import load_session
from daart_fast.data.from_config import build_data_generator
from daart_fast.errors import ConfigError, DataError
from daart_fast.experiment.check_settings import check_together
from daart_fast.experiment.stored import export_hparams
from daart_fast.features import GROUPS, Kinematics, reader_of
from daart_fast.features.kernels import windowed
from daart_fast.features.kinematics import CHUNK
from daart_fast.features.skeleton import animals_of
from daart_fast.models import Segmenter, predict_inputs
from daart_fast.readers.markers import Markers

ONE = ["nose", "neck", "hip", "tail"]
TWO = [f"{animal}-{part}" for animal in ("black", "white") for part in ("nose", "mid-back", "tail")]
EVERY = tuple(GROUPS)


def tracked(names: list[str], n_frames: int = 60, seed: int = 0) -> Markers:
    draw = np.random.default_rng(seed)
    xs, ys = draw.normal(200, 40, (2, n_frames, len(names)))
    return Markers(xs, ys, draw.uniform(0.5, 1, xs.shape), names)


def features(markers: Markers, *groups: str, **settings) -> dict[str, np.ndarray]:
    values, names = Kinematics(groups, **settings)(markers)
    assert values.dtype == np.float32 and values.flags.c_contiguous
    assert len(set(names)) == len(names) == values.shape[1]
    return dict(zip(names, values.T, strict=True))


# ------------------------------------------------------------------------------ by hand


def still(points: dict[str, tuple[float, float]], n_frames: int = 3) -> Markers:
    xs, ys = (np.tile([p[axis] for p in points.values()], (n_frames, 1)) for axis in (0, 1))
    return Markers(xs, ys, np.ones_like(xs), list(points))


def test_a_distance_is_in_pixels():
    found = features(still({"a": (0, 0), "b": (3, 4), "c": (0, 1)}), "distances")
    assert {name: column[0] for name, column in found.items()} == pytest.approx(
        {"distance:a:b": 5, "distance:a:c": 1, "distance:b:c": np.hypot(3, 3)}
    )


def test_a_speed_is_in_pixels_a_second_between_the_frames_on_both_sides():
    xs = np.array([[0.0], [1.0], [4.0], [4.0]])
    markers = Markers(xs, np.zeros_like(xs), np.ones_like(xs), ["a"])
    np.testing.assert_allclose(features(markers, "speeds", fps=10)["speed:a"], [10, 20, 15, 0])
    np.testing.assert_allclose(features(markers, "speeds")["speed:a"], [1, 2, 1.5, 0])


@pytest.mark.slow
def test_an_acceleration_is_the_second_difference():
    xs = np.array([[0.0], [1.0], [4.0], [4.0]])
    markers = Markers(xs, np.zeros_like(xs), np.ones_like(xs), ["a"])
    found = features(markers, "accelerations", fps=10)["acceleration:a"]
    np.testing.assert_allclose(found, [200, 200, 300, 300])


@pytest.mark.slow
def test_a_causal_feature_depends_on_no_later_frame():
    every = tracked(TWO, 40)
    settings = {"axis": ("tail", "nose"), "causal": True, "windows": (0.3,), "fps": 10}
    whole = features(every, *EVERY, **settings)
    for n_frames in range(1, 8):
        markers = Markers(*(values[:n_frames] for values in every[:3]), TWO)
        for name, column in features(markers, *EVERY, **settings).items():
            np.testing.assert_allclose(column, whole[name][:n_frames], rtol=1e-5, err_msg=name)


def test_held_points_are_missing_whole_and_features_begin_where_all_have_been_seen():
    markers = tracked(["a", "b"], 8)
    markers.xs[:2, 0] = np.nan
    markers.ys[5, 1] = np.nan
    found = features(markers, *EVERY[:2], "likelihoods", gaps="hold", causal=True)
    markers.xs[5, 1], markers.ys[5, 1], markers.likelihoods[5, 1] = (
        markers.xs[4, 1], markers.ys[4, 1], 0,
    )  # fmt: skip
    seen = Markers(*(values[2:] for values in markers[:3]), markers.names)
    for name, column in features(seen, *EVERY[:2], "likelihoods", causal=True).items():
        assert np.isnan(found[name][:2]).all()
        np.testing.assert_array_equal(found[name][2:], column)


@pytest.mark.parametrize("n_frames", [1, 2])
def test_too_few_frames_to_move_in_are_still(n_frames):
    found = features(replace(tracked(["a", "b"], n_frames), xs=np.ones((n_frames, 2))), *EVERY[1:3])
    assert all(np.isfinite(column).all() for column in found.values())
    assert not found["acceleration:a"].any()


def test_an_angle_is_a_cosine_and_a_sine():
    bent = still({"nose": (1, 0), "neck": (0, 0), "hip": (0, 2), "tail": (0, 2)})
    found = {name: column[0] for name, column in features(bent, "angles").items()}
    assert found == pytest.approx(
        {
            "angle:nose:neck:hip:cos": 0,
            "angle:nose:neck:hip:sin": 1,
            "angle:neck:hip:tail:cos": 0,
            "angle:neck:hip:tail:sin": 0,
        }
    )


def test_features_of_one_name_are_the_same_whatever_the_order_of_keypoints():
    markers = tracked(["nose", "neck", "hip", "tail"])
    order = [1, 0, 3, 2]
    other = Markers(
        *(values[:, order] for values in markers[:3]), [markers.names[i] for i in order]
    )
    groups = ("distances", "speeds", "accelerations", "angles", "egocentric", "likelihoods")
    found, shuffled = (features(each, *groups, axis=("hip", "nose")) for each in (markers, other))
    shared = found.keys() & shuffled.keys()
    assert {"speed:nose", "ego:tail:ahead"} < shared
    for name in shared:
        np.testing.assert_allclose(found[name], shuffled[name], atol=1e-4)


def test_egocentric_coordinates_do_not_know_where_the_animal_is_nor_how_it_is_turned():
    markers = tracked(ONE)
    turn = np.exp(0.7j)
    moved = (markers.xs + 1j * markers.ys) * turn + (50 - 20j)
    there = Markers(moved.real, moved.imag, markers.likelihoods, ONE)
    for one, other in zip(
        *(features(m, "egocentric", axis=("hip", "nose")).values() for m in (markers, there)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_egocentric_coordinates_are_ahead_and_aside_of_the_axis():
    points = still({"hip": (10, 10), "nose": (10, 15), "paw": (8, 11)})
    found = features(points, "egocentric", axis=("hip", "nose"))
    assert {name: column[0] for name, column in found.items()} == pytest.approx(
        {"ego:nose:ahead": 5, "ego:paw:ahead": 1, "ego:paw:aside": 2}
    )


# ------------------------------------------------------------------------------ in space


def turned(markers: Markers, seed: int) -> Markers:
    """The same points in a room that is turned and moved."""
    draw = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(draw.standard_normal((3, 3)))
    rotation *= np.linalg.det(rotation)  # no mirror
    points = np.stack([markers.xs, markers.ys, markers.zs], -1) @ rotation.T + draw.normal(0, 50, 3)
    return replace(markers, xs=points[..., 0], ys=points[..., 1], zs=points[..., 2])


def in_space(names: list[str], seed: int = 0) -> Markers:
    markers = tracked(names, seed=seed)
    zs = np.random.default_rng(seed + 1).normal(0, 40, markers.xs.shape)
    return replace(markers, zs=zs)


@pytest.mark.parametrize("names", [ONE, TWO], ids=["one animal", "two animals"])
def test_features_in_space_do_not_know_where_the_room_is_nor_how_it_is_turned(names):
    axis = ("hip", "nose", "tail") if names is ONE else ("tail", "nose", "mid-back")
    groups = EVERY if names is TWO else tuple(group for group in EVERY if group != "animals")
    markers = in_space(names)
    found, moved = (features(m, *groups, axis=axis) for m in (markers, turned(markers, 3)))
    assert all(name.startswith("3d:") for name in found)
    for name, column in found.items():
        np.testing.assert_allclose(column, moved[name], atol=2e-3, err_msg=name)
        assert np.ptp(column) > 0, name


def test_features_of_points_in_a_plane_are_the_same_in_space():
    flat = tracked(ONE)
    groups = ("distances", "speeds", "accelerations", "angles")
    space = features(replace(flat, zs=np.zeros_like(flat.xs)), *groups)
    for name, column in features(flat, *groups).items():
        expected = np.abs(column) if name.endswith(":sin") else column  # no side in space
        np.testing.assert_allclose(space[f"3d:{name}"], expected, atol=1e-4, err_msg=name)


def test_egocentric_coordinates_in_space_are_ahead_aside_and_above():
    body = {"hip": (1, 1, 1), "nose": (3, 1, 1), "ear": (2, 4, 1), "tail": (0, 3, -4)}
    xs, ys, zs = (np.tile([p[i] for p in body.values()], (3, 1)).astype(float) for i in range(3))
    markers = Markers(xs, ys, np.ones_like(xs), list(body), zs)
    found = features(markers, "egocentric", axis=("hip", "nose", "ear"))
    assert {name.removeprefix("3d:ego:"): column[0] for name, column in found.items()} == {
        "nose:ahead": 2, "ear:ahead": 1, "ear:aside": 3,
        "tail:ahead": -1, "tail:aside": 2, "tail:above": -5,
    }  # fmt: skip


def test_egocentric_coordinates_need_as_many_body_parts_as_there_are_dimensions():
    with pytest.raises(ConfigError, match="need a third body part, beside the line through"):
        features(in_space(ONE), "egocentric", axis=("hip", "nose"))
    with pytest.raises(ConfigError, match="need two body parts, as the points have no z"):
        features(tracked(ONE), "egocentric", axis=("hip", "nose", "tail"))


# ------------------------------------------------------------------------------ several animals


def test_two_animals_have_a_distance_an_approach_a_heading_and_a_bearing():
    points = still({"a-nose": (1, 0), "a-tail": (-1, 0), "b-nose": (10, 1), "b-tail": (10, -1)}, 4)
    points.xs[:, 2:] -= np.arange(4)[:, None]  # b comes nearer, a pixel a frame
    found = {n: c[1] for n, c in features(points, "animals", axis=("tail", "nose"), fps=5).items()}
    assert found == pytest.approx(
        {
            "distance:a:b": 9,
            "approach:a:b": -5,
            "heading:a:b:cos": 0,
            "heading:a:b:sin": 1,
            "bearing:a:b:cos": 1,
            "bearing:a:b:sin": 0,
            "bearing:b:a:cos": 1 / np.hypot(1, 9),
            "bearing:b:a:sin": 9 / np.hypot(1, 9),
        },
        abs=1e-6,
    )


def test_likelihoods_are_zero_where_a_point_was_not_detected():
    markers = tracked(["a", "b"])
    markers.xs[3, 1] = markers.ys[3, 1] = np.nan
    found = features(markers, "likelihoods")
    assert found["likelihood:b"][3] == 0
    np.testing.assert_allclose(found["likelihood:a"], markers.likelihoods[:, 0], rtol=1e-6)


# ------------------------------------------------------------------------------ windows


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_windows_hold_the_mean_and_spread_of_the_frames_around(seed, causal):
    draw = np.random.default_rng(seed)
    n_frames, fps = int(draw.integers(1, 90)), float(draw.uniform(5, 60))
    seconds = float(draw.uniform(0.1, 3))
    markers = tracked(ONE, n_frames, seed)
    found = features(markers, "distances", "angles", windows=(seconds,), fps=fps, causal=causal)
    half = max(1, round(seconds * fps / 2))
    for name, column in found.items():
        if ":mean" in name or ":std" in name:
            continue
        for t in range(n_frames):
            first, last = (t - 2 * half, t) if causal else (t - half, t + half)
            window = column[max(first, 0) : last + 1].astype(np.float64)
            assert found[f"{name}:mean{seconds:g}s"][t] == pytest.approx(window.mean(), abs=1e-4)
            assert found[f"{name}:std{seconds:g}s"][t] == pytest.approx(window.std(), abs=1e-4)


def test_the_answer_does_not_depend_on_threads_and_long_sessions_have_no_seams():
    markers = tracked(ONE, 2 * CHUNK + 77)
    build = Kinematics(EVERY, (0.5,), 30.0, ("hip", "nose"))
    one = build(markers).values
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        several = build(markers).values
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one, several)
    piece = slice(CHUNK - 50, CHUNK + 50)
    cut = build(Markers(*(values[piece] for values in markers[:3]), ONE)).values
    np.testing.assert_allclose(one[piece][20:-20], cut[20:-20], rtol=1e-4, atol=1e-3)


def test_causal_features_do_not_know_the_future():
    markers = tracked(TWO)
    build = Kinematics(EVERY, (0.2,), 30.0, ("tail", "nose"), causal=True)
    before = build(markers).values[:30]
    markers.xs[30:] += 100
    np.testing.assert_array_equal(build(markers).values[:30], before)


# ------------------------------------------------------------------------------ animals


@pytest.mark.parametrize(
    ("names", "animals"),
    [
        (ONE, [""]),
        (TWO, ["black", "white"]),
        (["mouse-1-nose", "mouse-1-tail", "mouse-2-nose", "mouse-2-tail"], ["mouse-1", "mouse-2"]),
        (["left-ear", "right-ear", "nose"], [""]),
        (["nose-tip", "tail-base", "tail-end"], [""]),
    ],
)
def test_animals_are_told_apart_by_having_the_same_parts(names, animals):
    assert [animal.name for animal in animals_of(names)] == animals


def test_animals_without_an_order_may_be_swapped_in_any_frame():
    markers = tracked(TWO)
    swapped = Markers(*(values.copy() for values in markers[:3]), TWO)
    for values in swapped[:3]:
        values[20:40] = values[20:40][:, [3, 4, 5, 0, 1, 2]]
    groups = ("distances", "angles", "egocentric", "animals", "likelihoods")
    settings = {"axis": ("tail", "nose"), "any_order": True}
    one, other = (features(m, *groups, **settings) for m in (markers, swapped))
    assert list(one) == list(other) and "distance:black-nose:white-nose" in one
    within = slice(22, 38)  # where no neighbour is on the other side of a swap
    for name in one:
        if "approach" not in name and "heading" not in name:
            np.testing.assert_allclose(one[name], other[name], atol=1e-5)
        elif not name.endswith("sin"):
            np.testing.assert_allclose(one[name][within], other[name][within], atol=1e-4)
    low, high = (one[f"likelihood:{a}-nose:rank{i}"] for i, a in ((1, "black"), (2, "white")))
    np.testing.assert_array_equal(low, np.minimum(*markers.likelihoods[:, [0, 3]].T.astype("f4")))
    assert (low <= high).all()


def test_three_animals_have_features_of_the_lowest_the_middle_and_the_highest():
    names = [f"{animal}-{part}" for animal in "abc" for part in ("nose", "tail")]
    markers = tracked(names)
    found = features(markers, "likelihoods", "distances", any_order=True)
    expected = np.sort(markers.likelihoods[:, ::2].astype(np.float32), axis=1)
    ranked = [found[f"likelihood:{a}-nose:rank{i}"] for i, a in enumerate("abc", start=1)]
    np.testing.assert_array_equal(np.stack(ranked, axis=1), expected)
    assert sum(name.startswith("distance") for name in found) == 15


def test_one_animal_has_no_order_to_lose():
    assert (
        features(tracked(ONE), "speeds", any_order=True).keys()
        == features(tracked(ONE), "speeds").keys()
    )


# ------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kinematic_groups": "speed"}, r"no group 'speed' \(did you mean 'speeds'\?\)"),
        ({"kinematic_groups": "egocentric"}, "'kinematic_axis' is missing"),
        ({"kinematic_axis": "nose"}, "expected two body parts, in 3D three, got nose"),
        ({"kinematic_windows": "1"}, "'fps' is missing: 'kinematic_windows' are in seconds"),
        ({"kinematic_windows": "1;x", "fps": 30}, "expected seconds above 0, as '0.5;2'"),
    ],
)
def test_settings_that_cannot_be_meant_are_told_before_any_file_is_read(settings, said):
    hparams = {"input_type": "features-kinematic", **settings}
    with pytest.raises(ConfigError, match=said):
        check_together(hparams)


def test_a_point_that_does_not_exist_gets_the_nearest_spelling():
    with pytest.raises(ConfigError, match=r"no keypoint 'nos' \(did you mean 'nose'\?\); expected"):
        features(tracked(ONE), "egocentric", axis=("hip", "nos"))


def test_a_group_with_nothing_to_measure_is_told():
    with pytest.raises(ConfigError, match="animals of 4 keypoints of 1 animal"):
        features(tracked(ONE), "animals")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="s.csv: no such file"):
        Kinematics(("speeds",)).read(tmp_path / "s.csv")


# ------------------------------------------------------------------------------ in a model


def write_project(data: Path, names: list[str], *sessions: str) -> None:
    """Sessions of 300 frames, DeepLabCut's csv and one-hot labels."""
    (data / "markers").mkdir(parents=True)
    (data / "labels-hand").mkdir()
    for seed, session in enumerate(sessions):
        markers = tracked(names, 300, seed)
        table = np.stack([markers.xs, markers.ys, markers.likelihoods], axis=2).reshape(300, -1)
        lines = [
            "scorer" + ",s" * 3 * len(names),
            "bodyparts," + ",".join(f"{name}," * 2 + name for name in names),
            "coords" + ",x,y,likelihood" * len(names),
            *(f"{i}," + ",".join(map(repr, row)) for i, row in enumerate(table.tolist())),
        ]
        (data / "markers" / f"{session}.csv").write_text("\n".join(lines))
        labels = [f"{i},0,{int(i < 100)},{int(i >= 100)}" for i in range(300)]
        text = "\n".join([",background,rest,walk", *labels])
        (data / "labels-hand" / f"{session}.csv").write_text(text)


def test_a_model_trains_on_features_and_predicts_new_files_of_markers_alike(tmp_path):
    write_project(tmp_path, ONE, "s", "t")
    hparams = with_defaults(
        {
            "input_type": "features-kinematic",
            "kinematic_groups": "speeds;egocentric",
            "kinematic_axis": "hip;nose",
            "kinematic_windows": "0.5",
            "fps": 30.0,
            "likelihood_threshold": 0.6,
            "data_dir": str(tmp_path),
            "expt_ids": ["s", "t"],
            "sequence_length": 25,
            "trial_splits": "4;1;0;0",
            "lambda_strong": 1.0,
        }
    )
    generator = build_data_generator(hparams)
    assert hparams["input_names"][0] == "speed:nose" and hparams["input_size"] == 3 * (4 + 5)
    session = load_session(hparams, "t")
    np.testing.assert_array_equal(session.inputs, generator.datasets[1].session.inputs)

    export_hparams(hparams, tmp_path / "model" / "hparams.yaml")
    model = Segmenter(hparams)
    model.save(tmp_path / "model" / "best_val_model.pt")
    states = Model.from_dir(tmp_path / "model").predict(tmp_path / "markers" / "t.csv")
    expected = predict_inputs(model, generator.datasets[1].normalised_inputs())["labels"]
    np.testing.assert_allclose(states, expected, atol=1e-6)


def test_other_inputs_are_read_as_they_are(tmp_path):
    np.save(tmp_path / "s.npy", np.ones((3, 2)))
    assert reader_of({"input_type": "features"})(tmp_path / "s.npy", 0.0).names == [
        "channel_0",
        "channel_1",
    ]


def test_a_small_spread_far_from_the_first_frame_is_exact():
    # in float32 the squares of the way from the first frame would drown the spread
    walk = np.linspace(0.0, 600.0, 400)[:, None] + 0.05 * np.sin(np.arange(400.0))[:, None]
    values = np.ascontiguousarray(walk, dtype=np.float32)
    mean, spread = np.empty_like(values), np.empty_like(values)
    windowed()(values, 2, 2, 0, 400, mean, spread, np.empty((2, 1)))
    expected = [values[max(t - 2, 0) : t + 3].astype(np.float64).std() for t in range(400)]
    np.testing.assert_allclose(spread[:, 0], expected, rtol=1e-5)
