"""A look at a project's files lists all that is wrong at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daart_fast.errors import DataError
from daart_fast.project.checkup import examine
from daart_fast.readers.inputs import INPUT_SUFFIXES
from daart_fast.readers.label_record import LabelFile, write_label_record

PARTS = ("nose", "tail")


def write_markers(path: Path, n_frames: int = 200, parts=PARTS, missing=0, still=False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).uniform(0, 100, (n_frames, 3 * len(parts))).round(2)
    values[:, 2::3] = 0.9
    if still:
        values[:, 0] = 5
    lines = [
        "scorer" + ",s" * 3 * len(parts),
        "bodyparts," + ",".join(",".join([part] * 3) for part in parts),
        "coords" + ",x,y,likelihood" * len(parts),
    ]
    for i, row in enumerate(values.tolist()):
        cells = ["", "", *map(str, row[2:])] if i < missing else list(map(str, row))
        lines.append(",".join([str(i), *cells]))
    path.write_text("\n".join(lines))


def write_labels(path: Path, classes: np.ndarray, names=("background", "rest", "walk")) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.eye(len(names), dtype=int)[classes].tolist()
    lines = [f"{i}," + ",".join(map(str, row)) for i, row in enumerate(rows)]
    path.write_text("\n".join(["," + ",".join(names), *lines]))


LABELS = np.repeat([0, 1, 2], [50, 100, 50])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two sessions with nothing wrong."""
    for session in ("m1", "m2"):
        write_markers(tmp_path / "markers" / f"{session}.csv")
        write_labels(tmp_path / "labels-hand" / f"{session}.csv", LABELS)
    return tmp_path


def test_a_project_without_faults_is_a_table(project):
    found = examine(project)
    assert found.failures == found.surprises == []
    assert found.table().splitlines() == [
        "session  inputs  hand labels  frames  channels  missing  background  rest  walk",
        "m1       m1.csv  m1.csv          200         4     0.0%          50   100    50",
        "m2       m2.csv  m2.csv          200         4     0.0%          50   100    50",
    ]


def test_everything_that_would_fail_is_listed_at_once(project):
    write_labels(project / "labels-hand" / "m1.csv", LABELS[:-7])
    write_markers(project / "markers" / "m2.csv", parts=("nose", "hip"))
    write_markers(project / "markers" / "m3.csv")
    (project / "markers" / "m4.csv").write_text("nothing of the kind")
    (project / "labels-hand" / "m3.csv").write_text(",background,rest,walk\n0,1,1,0\n")
    failures = "\n".join(examine(project).failures)
    inputs = project / "markers" / "m1.csv"
    assert f"m1.csv: expected 200 rows, one for each frame of {inputs}, found 193" in failures
    assert "session m2: its channels differ" in failures
    assert "has hip_x, hip_y and lacks tail_x, tail_y" in failures
    assert "m3.csv, line 2: expected exactly one 1 in the row" in failures
    assert "m4.csv" in failures


def test_what_might_surprise_is_listed(project):
    write_markers(project / "markers" / "m1.csv", missing=90, still=True)
    write_labels(project / "labels-hand" / "m1.csv", np.append(LABELS, 0))
    write_labels(project / "labels-hand" / "m2.csv", np.repeat([0, 1], [190, 10]))
    write_labels(project / "labels-hand" / "gone.csv", LABELS)
    write_markers(project / "markers" / "m3.csv")
    surprises = "\n".join(examine(project).surprises)
    assert "1 of 2 points, most of all nose: 45%, up to 90 in a row. Look at them in" in surprises
    assert "never changes: nose_x" in surprises
    inputs = project / "markers" / "m1.csv"
    assert f"201 rows for the 200 frames of {inputs}; the last row is left out" in surprises
    assert "m2.csv: over 90% of the frames are background; 95%" in surprises
    assert "class walk occurs in only one session (50 frames)" in surprises
    assert "gone.csv: labels without inputs. Labels and inputs of a session need the" in surprises
    assert "sessions without hand labels: m3" in surprises


def test_labels_that_begin_at_another_frame_fail_as_in_training(project):
    path = project / "labels-hand" / "m1.csv"
    header, *rows = path.read_text().splitlines()
    rows = [f"{700 + i},{row.partition(',')[2]}" for i, row in enumerate(rows)]
    path.write_text("\n".join([header, *rows]))
    (failure,) = examine(project).failures
    assert failure.startswith(f"{path}: expected frames from 0 on, as in ")


def test_labels_that_count_from_1_are_told(project):
    path = project / "labels-hand" / "m1.csv"
    header, *rows = path.read_text().splitlines()
    rows = [f"{1 + i},{row.partition(',')[2]}" for i, row in enumerate(rows)]
    path.write_text("\n".join([header, *rows]))
    found = examine(project)
    assert found.failures == []
    assert f"{path}: its frames count from 1, those of " in found.surprises[0]


def test_unsure_points_count_as_missing(project):
    assert examine(project, likelihood_threshold=0.5).sessions[0].missing == 0
    path = project / "markers" / "m1.csv"
    lines = path.read_text().splitlines()
    lines[3:103] = [
        ",".join([*line.split(",")[:3], "0.1", *line.split(",")[4:]]) for line in lines[3:103]
    ]
    path.write_text("\n".join(lines))
    assert examine(project, likelihood_threshold=0.5).sessions[0].missing == 0.25


def test_points_without_a_likelihood_are_missing_where_there_is_a_threshold(project):
    path = project / "markers" / "m1.csv"
    lines = path.read_text().splitlines()
    lines[3:103] = [line.removesuffix("0.9") for line in lines[3:103]]
    path.write_text("\n".join(lines))
    assert examine(project).sessions[0].missing == 0
    assert examine(project, likelihood_threshold=0.5).sessions[0].missing == 0.25


def test_classes_that_never_occur_and_labels_that_label_nothing_are_told(project):
    for session in ("m1", "m2"):
        write_labels(project / "labels-hand" / f"{session}.csv", np.zeros(200, int))
    found = examine(project)
    assert "class walk never occurs" in found.surprises
    assert "2 sessions (m1, m2): every frame is labelled background" in found.surprises
    (failure,) = found.failures
    assert failure.startswith("no frame is scored. The 400 frames of 'background' are neither")


# ------------------------------------------------------------------------------ what is scored


def test_a_single_scored_class_would_fail(project):
    for session in ("m1", "m2"):
        labels = np.repeat([0, 2], [150, 50])
        write_labels(project / "labels-hand" / f"{session}.csv", labels)
    (failure,) = examine(project).failures
    assert failure.startswith("'walk' is the only class that is scored (100 frames)")
    assert not examine(project, ignore_class=-100).failures
    assert not examine(project, classifier_type="multibinary").failures


def test_labels_of_several_behaviours_may_be_partly_scored(project):
    for session in ("m1", "m2"):
        cells = ["1,0"] * 50 + [","] * 100 + ["0,1"] * 50
        lines = [",walk,groom", *(f"{i},{cell}" for i, cell in enumerate(cells))]
        (project / "labels-hand" / f"{session}.csv").write_text("\n".join(lines))
    found = examine(project, classifier_type="multibinary")
    assert not found.failures and found.sessions[0].counts == [50, 50]


def test_few_scored_frames_are_a_surprise(project):
    for session in ("m1", "m2"):
        labels = np.repeat([0, 1, 2], [190, 5, 5])
        write_labels(project / "labels-hand" / f"{session}.csv", labels)
    surprises = "\n".join(examine(project).surprises)
    assert "only 20 of 400 frames (5.0%) are scored. The 380 frames of 'background'" in surprises


def test_a_background_that_no_conversion_decided_on_is_noted(project):
    (note,) = examine(project).notes
    assert "the 100 frames of 'background' are neither learned nor scored" in note
    files = {"m1.csv": LabelFile("m1.csv", "boris", 30, 200, None)}
    write_label_record(project / "labels-hand", files)
    found = examine(project)
    assert found.notes == found.surprises == found.failures == []


def test_frame_rates_that_differ_are_a_surprise(project):
    files = {f"m{fps}.csv": LabelFile("m.csv", "boris", fps, 200, None) for fps in (25, 30)}
    for name in files:
        write_markers(project / "markers" / name)
        write_labels(project / "labels-hand" / name, LABELS)
    write_label_record(project / "labels-hand", files)
    (surprise,) = examine(project).surprises
    assert "expected one frame rate for all sessions, found 25 for m25.csv and 30" in surprise


def test_the_same_finding_in_many_sessions_is_one_line(project):
    for missing, session in enumerate(("m1", "m2", "m3"), start=60):
        write_markers(project / "markers" / f"{session}.csv", missing=missing)
        write_labels(project / "labels-hand" / f"{session}.csv", LABELS)
    (surprise,) = examine(project).surprises
    assert surprise.startswith("3 sessions (m1, m2, m3): points are missing in over 20% of the fra")
    assert "; worst in m3: 1 of 2 points, most of all nose: 31%, up to 62 in a row" in surprise
    assert "A lower likelihood_threshold" not in surprise and "swapped" in surprise
    (surprise,) = examine(project, likelihood_threshold=0.5).surprises
    assert "A lower likelihood_threshold keeps more of them" in surprise


def test_labels_and_inputs_may_differ_by_what_a_tracker_adds(project):
    markers = project / "markers"
    (markers / "m1.csv").rename(markers / "m1DLC_resnet50_x.csv")
    labels = project / "labels-hand"
    (labels / "m2.csv").rename(labels / "m2DLC_resnet50_y_labels.csv")
    found = examine(project)
    assert found.failures == found.surprises == []
    assert [session.id for session in found.sessions] == ["m1", "m2"]


def test_labels_of_a_misspelled_session_are_named_with_the_nearest(project):
    labels = project / "labels-hand"
    (labels / "m1.csv").rename(labels / "m-1.csv")
    surprises = "\n".join(examine(project).surprises)
    assert "need the same name, up to what a tracker adds (did you mean 'm1'?)" in surprises


def test_files_that_are_not_read_are_told(project):
    path = project / "labels-hand" / "m1.csv"
    (project / "labels-hand" / "m1.csv.gz").write_bytes(b"")
    (project / "markers" / "m1.h5").write_bytes(b"")  # as DeepLabCut writes beside its csv
    assert examine(project).surprises == [
        f"{path}: this file is read, and not m1.csv.gz of the same session"
    ]


ODD = {
    "empty": b"",
    "blank": b"\n \n",
    "garbage": np.random.default_rng(0).bytes(3000),
    "zeros": bytes(3000),
    "latin1": "scorer,n\xe9z\n,b\xe4ckground,walk\n0,1,0\n".encode("latin-1"),
    "utf16 without its mark": ",background,walk\n0,1,0\n".encode("utf-16-le"),
    "folder": None,
    "broken link": Path("gone"),
}
INPUTS = [f"markers/m1{suffix}" for suffix in INPUT_SUFFIXES]
LABELS_AND_TASKS = ["labels-hand/m1.csv", "labels-hand/m1.csv.gz", "labels-heuristic/m1.csv"]
LABELS_AND_TASKS += ["labels-heuristic/m1.pkl", "tasks/m1.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", INPUTS + LABELS_AND_TASKS)
def test_an_odd_file_is_named_and_the_next_is_read(project, name, content):
    path = project / name
    (path.parent / "m1.csv").unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.mkdir()
    elif isinstance(content, Path):
        path.symlink_to(content)
    else:
        path.write_bytes(content)
    found = examine(project)
    (failure,) = found.failures
    assert failure.startswith(str(path))
    assert found.sessions[-1].n_frames == 200 and found.sessions[-1].counts == [50, 100, 50]


def test_a_file_that_may_not_be_read_is_named(project, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("daart_fast.project.checkup.read_markers", refuse)
    first, second = examine(project).failures
    path = project / "markers" / "m1.csv"
    assert first == f"{path}: PermissionError: [Errno 13] Permission denied: '{path}'"
    assert "m2.csv" in second


def test_a_file_in_place_of_a_folder_is_named(project):
    (project / "labels-heuristic").write_text("labels")
    assert examine(project).failures == [
        f"{project / 'labels-heuristic'}: expected a folder, found a file"
    ]


def test_an_ending_that_training_does_not_look_for_is_told(project):
    write_markers(project / "markers" / "m3.CSV")
    found = examine(project)
    if found.failures:  # where names differ by their case
        assert "m3.CSV" in found.failures[0] and found.sessions[0].n_frames == 200


def test_hidden_files_are_left_out(project):
    for name in ("markers/._m1.csv", "labels-hand/.DS_Store"):
        (project / name).write_bytes(b"\0\5")
    found = examine(project)
    assert found.failures == found.surprises == [] and len(found.sessions) == 2


@pytest.mark.parametrize(("rows", "said"), [(199, "surprises"), (150, "failures")])
def test_tasks_are_as_long_as_their_inputs(project, rows, said):
    (project / "tasks").mkdir()
    text = ",speed\n" + "".join(f"{i},0.5\n" for i in range(rows))
    (project / "tasks" / "m1.csv").write_text(text)
    (message,) = getattr(examine(project), said)
    assert message.startswith(f"{project / 'tasks' / 'm1.csv'}: ") and f"{rows}" in message


def test_features_have_no_points_to_miss(tmp_path):
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "s.npy", np.random.default_rng(0).random((30, 2)))
    found = examine(tmp_path, input_type="features")
    assert found.sessions[0].missing is None
    assert found.failures == [f"{tmp_path / 'labels-hand'}: no session has hand labels"]


def test_a_folder_that_is_not_there_is_named_with_what_is(project):
    with pytest.raises(DataError, match="expected a folder of inputs; .* holds labels-hand, mark"):
        examine(project, input_type="features")
    (project / "features").mkdir()
    with pytest.raises(DataError, match="expected files of inputs"):
        examine(project, input_type="features")


def test_a_feature_that_counts_frames_is_reported(project):
    speed = np.random.default_rng(0).uniform(size=200).round(3)
    rows = [f"{i},{i},{i / 30:.4f},{speed[i]}" for i in range(200)]
    for session in ("m1", "m2"):
        path = project / "features" / f"{session}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([",steps,seconds,speed", *rows]))
    (surprise,) = examine(project, input_type="features").surprises
    assert "2 sessions (m1, m2): changes by the same amount in every frame" in surprise
    assert "as a count of frames: steps, seconds; a model" in surprise


def several(path: Path, detected: dict[str, bool]) -> None:
    """Write tracks of several animals of two points; -1 where one was never there."""
    cells = [f"{2.5 if there else -1}" for there in detected.values() for _ in range(4)]
    width = 4 * len(detected)
    head = [
        "scorer" + ",s" * width,
        "individuals," + ",".join(",".join([animal] * 4) for animal in detected),
        "bodyparts" + ",nose,nose,tail,tail" * len(detected),
        "coords" + ",x,y" * 2 * len(detected),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, *(",".join([str(i), *cells]) for i in range(50))]))
    write_labels(path.parents[1] / "labels-hand" / path.name, np.repeat([1, 2], 25))


def test_animals_that_a_video_lacks_are_named_with_the_setting_that_helps(tmp_path):
    several(tmp_path / "markers" / "m1.csv", {"a": True, "b": True, "c": False})
    several(tmp_path / "markers" / "m2.csv", {"a": True, "b": True, "c": True})
    found = examine(tmp_path)
    assert any("never detected, and so left out: c-nose, c-tail" in s for s in found.surprises)
    (failure,) = found.failures
    assert failure.endswith("set animals: a;b in data.yaml (--animals)")
    assert not examine(tmp_path, animals="a;b").failures


def test_points_that_a_video_lacks_are_named_with_the_setting_that_helps(tmp_path):
    for session, parts in (("m1", ("nose", "tail")), ("m2", ("nose",))):
        write_markers(tmp_path / "markers" / f"{session}.csv", parts=parts)
        write_labels(tmp_path / "labels-hand" / f"{session}.csv", LABELS)
    (failure,) = examine(tmp_path).failures
    assert failure.endswith("set keypoints: nose in data.yaml (--keypoints)")
    assert not examine(tmp_path, keypoints="nose").failures


def test_labelled_sessions_that_the_settings_leave_out_are_named(project):
    assert not examine(project, expt_ids=["m1"], expt_ids_test=["m2"]).surprises
    (surprise,) = examine(project, expt_ids=["m1DLC_resnet50_x"]).surprises
    assert "leaves out sessions that have hand labels: m2" in surprise and "--all" in surprise
    (failure,) = examine(project, expt_ids=["m1", "m2", "m3"]).failures
    assert "names sessions without inputs: m3" in failure


def test_the_only_folder_of_inputs_is_looked_at(project):
    (project / "markers").rename(project / "my-features")
    found = examine(project)
    assert found.input_type == "my-features" and not found.failures
    write_markers(project / "other" / "m1.csv")
    with pytest.raises(DataError, match="found my-features, other; --input_type names"):
        examine(project)


def test_what_was_found_is_described_for_scripts(project):
    described = examine(project).described()
    assert described["sessions"]["m1"] == {
        "files": {"markers": "markers/m1.csv", "labels_strong": "labels-hand/m1.csv"},
        "frames": 200, "first_frame": 0,
        "channels": ["nose_x", "tail_x", "nose_y", "tail_y"], "missing": 0.0,
        "classes": {"background": 50, "rest": 100, "walk": 50},
    }  # fmt: skip
    assert described["would_fail"] == described["might_surprise"] == []
