"""Only some keypoints, or some animals, of a file are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daart_fast.errors import DataError
from daart_fast.features import reader_of

HEAD = (
    "scorer,s,s,s,s,s,s,s,s",
    "individuals,rat1,rat1,rat1,rat1,rat2,rat2,rat2,rat2",
    "bodyparts,nose,nose,tail,tail,nose,nose,tail,tail",
    "coords,x,y,x,y,x,y,x,y",
)


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    rows = [",".join(map(str, [i, *range(i, i + 8)])) for i in range(30)]
    path = tmp_path / "s.csv"
    path.write_text("\n".join([*HEAD, *rows]))
    return path


@pytest.mark.parametrize(
    ("settings", "points"),
    [
        ({}, ["rat1-nose", "rat1-tail", "rat2-nose", "rat2-tail"]),
        ({"animals": "rat2"}, ["rat2-nose", "rat2-tail"]),
        ({"keypoints": "tail"}, ["rat1-tail", "rat2-tail"]),
        ({"keypoints": "rat2-tail;rat1-nose"}, ["rat1-nose", "rat2-tail"]),
        ({"animals": "rat1", "keypoints": "nose"}, ["rat1-nose"]),
    ],
)
def test_chosen_points_come_in_the_files_order(tracks, settings, points):
    values, names = reader_of(settings)(tracks, 0.0)
    assert names == [f"{point}_{axis}" for axis in "xy" for point in points]
    every, all_names = reader_of({})(tracks, 0.0)
    np.testing.assert_array_equal(values, every[:, [all_names.index(name) for name in names]])


def test_features_are_of_the_chosen_points(tracks):
    settings = {"input_type": "features-kinematic", "kinematic_groups": "distances;speeds"}
    _, names = reader_of({**settings, "animals": "rat1"})(tracks, 0.0)
    assert names == ["distance:rat1-nose:rat1-tail", "speed:rat1-nose", "speed:rat1-tail"]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"animals": "rat3"}, "'animals' names 'rat3'.*; the file has rat1, rat2"),
        ({"keypoints": "noze"}, "'keypoints' names 'noze'.*did you mean.*nose"),
        ({"animals": "rat1", "keypoints": "rat2-nose"}, "leave no point"),
    ],
)
def test_a_name_that_the_file_does_not_have_is_an_error(tracks, settings, wrong):
    with pytest.raises(DataError, match=wrong):
        reader_of(settings)(tracks, 0.0)


def test_features_have_no_points_to_choose(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(",a,b\n0,1,2\n1,2,3\n")
    with pytest.raises(DataError, match="holds features, and 'keypoints' and 'animals' choose"):
        reader_of({"keypoints": "a"})(path, 0.0)


@pytest.mark.parametrize("gaps", ["interpolate", "hold"])
@pytest.mark.parametrize("input_type", ["markers", "features-kinematic"])
def test_points_that_are_never_detected_are_left_out_with_a_warning(
    tmp_path, caplog, gaps, input_type
):
    path = tmp_path / "s.csv"
    rows = [f"{i},1,{i},{i},2,{i},{i},-1,-1" for i in range(30)]
    path.write_text("\n".join([*HEAD, *rows]))
    _, names = reader_of({"gaps": gaps, "input_type": input_type})(path, 0.0)
    assert names and not any("rat2-tail" in name for name in names)
    assert "never detected, and so left out: rat2-tail" in caplog.text
