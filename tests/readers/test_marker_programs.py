"""Tracked points as each program writes them: Anipose, SLEAP's csv, three dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daart_fast.errors import DataError
from daart_fast.readers.inputs import first_frame, read_inputs, read_markers

# ------------------------------------------------------------------------------ x, y and z

DEEPLABCUT_3D = """scorer,DLC_3D,DLC_3D,DLC_3D,DLC_3D,DLC_3D,DLC_3D
bodyparts,nose,nose,nose,paw,paw,paw
coords,x,y,z,x,y,z
0,1,2,3,4,5,6
1,,,,7,8,9
2,3,4,5,10,11,12
"""


def test_points_in_space_are_read_whole_from_csv_and_h5(tmp_path):
    (tmp_path / "trial_DLC_3D.csv").write_text(DEEPLABCUT_3D)
    table = pd.read_csv(tmp_path / "trial_DLC_3D.csv", header=[0, 1, 2], index_col=0)
    table.to_hdf(tmp_path / "table.h5", key="df_with_missing", format="table")
    table.to_hdf(tmp_path / "fixed.h5", key="df_with_missing")
    for name in ("trial_DLC_3D.csv", "table.h5", "fixed.h5"):
        values, names = read_inputs(tmp_path / name)
        assert names == ["nose_x", "paw_x", "nose_y", "paw_y", "nose_z", "paw_z"]
        assert values.tolist() == [
            [1, 4, 2, 5, 3, 6], [2, 7, 3, 8, 4, 9], [3, 10, 4, 11, 5, 12],
        ]  # fmt: skip


def test_a_point_without_z_among_others_with_it_is_an_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("scorer,s,s,s,s,s\nbodyparts,a,a,a,b,b\ncoords,x,y,z,x,y\n0,1,2,3,4,5\n")
    with pytest.raises(DataError, match="'b' has no column 'z', only x, y"):
        read_markers(path)


# ------------------------------------------------------------------------------ Anipose


def anipose(folder: Path, first: int = 0, **columns: list[float]) -> Path:
    table = {
        "nose_x": [1, 2, 3], "nose_y": [4, 5, 6], "nose_z": [7, 8, 9],
        "nose_error": [0, 10, 0], "nose_ncams": [3, 2, 1], "nose_score": [0.8, 0.8, 0.9],
        "M_00": [1, 1, 1], "center_0": [0, 0, 0], "fnum": [first, first + 1, first + 2],
    }  # fmt: skip
    path = folder / "trial.csv"
    pd.DataFrame(table | columns).to_csv(path, index=False)
    return path


def test_anipose_has_points_in_space_whose_likelihood_falls_with_the_error(tmp_path):
    path = anipose(tmp_path)
    markers = read_markers(path)
    assert markers.names == ["nose"]
    assert markers.zs[:2, 0].tolist() == [7, 8] and np.isnan(markers.zs[2, 0])  # one camera
    np.testing.assert_allclose(markers.likelihoods[:2, 0], [0.8, 0.4])
    values, names = read_inputs(path, likelihood_threshold=0.5)
    assert names == ["nose_x", "nose_y", "nose_z"]
    assert values.tolist() == [[1, 4, 7]] * 3  # of the two sure frames one is left: the first


def test_aniposes_frames_are_numbered_by_its_last_column(tmp_path):
    assert first_frame(anipose(tmp_path, first=40)) == 40
    with pytest.raises(DataError, match=r"line 4, column 9 \('fnum'\): expected frames that count"):
        read_markers(anipose(tmp_path, fnum=[0, 1, 5]))


def test_a_point_of_anipose_without_z_is_an_error(tmp_path):
    path = anipose(tmp_path)
    pd.read_csv(path).drop(columns="nose_z").to_csv(path, index=False)
    with pytest.raises(DataError, match="expected a column 'nose_z'"):
        read_markers(path)


# ------------------------------------------------------------------------------ SLEAP's csv

SLEAP = """track,frame_idx,instance.score,head.x,head.y,head.score,tail.x,tail.y,tail.score
male,2,0.9,1,2,0.8,3,4,0.7
female,2,0.9,5,6,0.8,,,
male,4,0.9,7,8,0.8,9,10,
"""


def sleap(folder: Path, text: str) -> Path:
    path = folder / "fly1.csv"
    path.write_text(text)
    return path


def test_sleaps_csv_has_a_row_for_each_animal_in_a_frame(tmp_path):
    markers = read_markers(sleap(tmp_path, SLEAP))
    assert markers.names == ["male-head", "male-tail", "female-head", "female-tail"]
    assert markers.xs.shape == (5, 4)
    assert np.isnan(markers.xs[[0, 1, 3]]).all()  # from the video's first frame, without gaps
    assert markers.xs[2, :3].tolist() == [1, 3, 5] and np.isnan(markers.xs[2, 3])
    assert markers.likelihoods[2, 0] == 0.8
    assert markers.likelihoods[4, 1] == 1  # a point that was set by hand has no score
    assert first_frame(tmp_path / "fly1.csv") is None


def test_one_animal_of_sleap_needs_no_track(tmp_path):
    text = "\n".join(
        line.replace("male,", ",", 1) for line in SLEAP.splitlines() if "fe" not in line
    )
    assert read_markers(sleap(tmp_path, text)).names == ["head", "tail"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("male,4,0.9,7,8,0.8,9,10,1", "line 5: .* a second one for frame 4 of track 'male'"),
        (
            "male,4.5,0.9,7,8,0.8,9,10,1",
            r"line 5, column 2 \('frame_idx'\): .* frame number, found 4.5",
        ),
        (
            "male,5,0.9,7,x,0.8,9,10,1",
            r"line 5, column 5 \('head.y'\): expected a number, found 'x'",
        ),
        ("male,5,0.9,7,8,0.8,9,10", "line 5: expected 9 cells"),
    ],
)
def test_a_row_of_sleap_that_cannot_be_is_named(tmp_path, line, wrong):
    with pytest.raises(DataError, match=wrong):
        read_markers(sleap(tmp_path, SLEAP + line + "\n"))


def test_sleaps_csv_with_an_index_of_pandas_is_named(tmp_path):
    lines = [f"{'' if i == 0 else i - 1},{line}" for i, line in enumerate(SLEAP.splitlines())]
    with pytest.raises(DataError, match="as pandas writes its index; leave that column out"):
        read_markers(sleap(tmp_path, "\n".join(lines)))


def test_animals_without_tracks_are_refused(tmp_path):
    text = SLEAP.replace("female,", ",").replace("male,", ",")
    with pytest.raises(DataError, match="frame 2 without a track; track the animals in SLEAP"):
        read_markers(sleap(tmp_path, text))


# ------------------------------------------------------------------------------ no point there


def test_places_that_stand_for_no_point_are_missing(tmp_path):
    """DeepLabCut 3 writes -1 where an animal is absent; others write 0."""
    path = tmp_path / "s.csv"
    head = [
        "scorer," + ",".join(["s"] * 6), "individuals,one,one,one,two,two,two",
        "bodyparts,a,a,a,a,a,a", "coords,x,y,likelihood,x,y,likelihood",
    ]  # fmt: skip
    path.write_text("\n".join([*head, "0,-1,-1,-1,0,0,0", "1,-1,5,1,0,0,0.9", "2,0,0,,1,1,1"]))
    markers = read_markers(path)
    assert np.isnan(markers.xs).tolist() == [[True, True], [False, False], [True, False]]
