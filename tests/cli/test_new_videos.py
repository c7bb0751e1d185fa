"""`evaluate` and `report` on videos that no training has seen, predicted before or not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from daart_fast.cli import main
from daart_fast.config import with_defaults
from daart_fast.data.from_config import build_data_generator
from daart_fast.eval import Smoother
from daart_fast.experiment.stored import export_hparams
from daart_fast.models import Segmenter
from daart_fast.readers.label_record import LabelFile, write_label_record
from daart_fast.readers.labels import load_label_csv

NAMES = ("background", "rest", "walk")


def write_inputs(path: Path, seed: int, n_frames: int = 200) -> Path:
    rows = np.random.default_rng(seed).standard_normal((n_frames, 2)).tolist()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",a,b", *(f"{i},{x},{y}" for i, (x, y) in enumerate(rows))]))
    return path


def write_labels(path: Path, n_frames: int = 200, names=NAMES) -> Path:
    """Bouts of rest and walk; nobody looked at the first ten frames."""
    classes = np.arange(n_frames) // 25 % 2 + 1
    classes[:10] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.eye(3, dtype=int)[classes]
    pd.DataFrame(rows, columns=list(NAMES))[list(names)].to_csv(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained model of m1, with m2 held out; smoothed."""
    for seed, session in enumerate(("m1", "m2")):
        write_inputs(tmp_path / "data" / "markers" / f"{session}.csv", seed)
        write_labels(tmp_path / "data" / "labels-hand" / f"{session}.csv")
    hparams = with_defaults(
        {
            "data_dir": str(tmp_path / "data"), "expt_ids": ["m1"], "expt_ids_test": ["m2"],
            "sequence_length": 20, "trial_splits": "2;1;0;0", "n_hid_layers": 1,
            "n_hid_units": 4, "n_lags": 1, "fps": 25.0,
        }
    )  # fmt: skip
    build_data_generator(hparams)
    folder = tmp_path / "version_0"
    export_hparams(hparams, folder / "hparams.yaml")
    Segmenter(hparams).save(folder / "best_val_model.pt")
    Smoother("bouts", 3).save(folder / "smoothing.json")
    return folder


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A folder of two new videos."""
    for seed, session in ((7, "n1"), (8, "n2")):
        write_inputs(tmp_path / "new" / f"{session}.csv", seed)
    return tmp_path / "new"


@pytest.fixture
def predictions(model: Path, new: Path, tmp_path: Path) -> Path:
    """The output folder of predict."""
    folder = tmp_path / "predictions"
    assert main(["predict", str(model), str(new), "--output_dir", str(folder)]) == 0
    return folder


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def report_of(path: Path) -> dict:
    text = path.read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["models"][0]


def cautions_of(folder: Path) -> str:
    return "\n".join(summary_of(folder)["cautions"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------ without labels


@pytest.mark.parametrize(("first", "seconds"), [(0, 0.0), (1, 0.0), (100, 4.0)])
def test_frames_and_times_are_those_of_the_video(model, tmp_path, first, seconds):
    """A file that counts from 1 begins with the video; one that counts from 100 does not."""
    inputs = write_inputs(tmp_path / "late" / "n1.csv", seed=7)
    table = pd.read_csv(inputs, index_col=0)
    table.index += first
    table.to_csv(inputs)
    labels = pd.read_csv(write_labels(tmp_path / "late" / "labels-hand" / "n1.csv"), index_col=0)
    labels.index += first
    labels.to_csv(tmp_path / "late" / "labels-hand" / "n1.csv")
    folder = tmp_path / "predictions"
    assert main(["predict", str(model), str(inputs.parent), "--output_dir", str(folder)]) == 0
    frames = pd.read_csv(folder / "n1_predictions.csv")
    assert frames["frame"].tolist() == list(range(first, first + 200))
    np.testing.assert_allclose(frames["time"], seconds + np.arange(200) / 25)
    bouts = pd.read_csv(folder / "n1_bouts.csv")
    assert bouts["start"][0] == seconds and bouts["stop"].iloc[-1] == seconds + 8
    budget = pd.read_csv(folder / "time_budget.csv")
    assert budget["latency"].min() == 0  # from the first frame that was tracked
    assert main(["report", str(folder)]) == 0
    (session,) = report_of(folder / "report.html")["sessions"]
    assert (session["first_frame"], session["shift"]) == (first, round(seconds * 25))
    inputs.unlink()
    assert main(["report", str(folder)]) == 0
    (session,) = report_of(folder / "report.html")["sessions"]
    assert session["first_frame"] == first


@pytest.mark.slow
def test_predictions_without_labels_have_pictures_and_time_budgets(predictions, new, capsys):
    before = contents(new)
    assert main(["evaluate", str(predictions)]) == 0
    assert "no score: these sessions have no hand labels" in capsys.readouterr().out
    assert summary_of(predictions)["scores"] == {} and cautions_of(predictions) == ""
    table = pd.read_csv(predictions / "time_budget.csv")
    assert set(table["split"]) == {"new"} and table["frames_labelled"].isna().all()
    for session in ("n1", "n2"):
        assert (predictions / f"{session}_ethogram.png").stat().st_size > 1000
        classes = pd.read_csv(predictions / f"{session}_predictions.csv")["class"]
        rows = table[table["session"] == session].set_index("class")
        assert rows["frames"].to_dict() == {name: (classes == name).sum() for name in NAMES}
        bouts = pd.read_csv(predictions / f"{session}_bouts.csv").groupby("class")["duration"]
        for name, durations in bouts:
            row = rows.loc[name]
            assert row["bouts"] == len(durations)
            assert row["mean_bout"] == pytest.approx(durations.mean())
            assert row["median_bout"] == pytest.approx(durations.median())
    assert contents(new) == before


@pytest.mark.slow
def test_time_budgets_of_predict_and_of_evaluate_are_the_same(predictions):
    before = pd.read_csv(predictions / "time_budget.csv")
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(predictions / "time_budget.csv"), before)


def test_a_report_on_predictions_shows_each_video(predictions, model, capsys):
    before = contents(model)
    assert main(["report", str(predictions)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "no score: these sessions have no hand labels (--labels DIR says where they are)",
        str(predictions / "report.html"),
    ]
    shown = report_of(predictions / "report.html")
    assert [session["id"] for session in shown["sessions"]] == ["n1", "n2"]
    assert {row[0] for row in shown["time_budget"]} == {"n1", "n2"} and shown["scores"] == {}
    assert contents(model) == before
    assert main(["report", str(predictions)]) == 0  # again, over its own


# ------------------------------------------------------------------------------ scores


@pytest.mark.slow
def test_scores_are_those_of_what_is_in_the_tables(predictions, tmp_path):
    for session in ("n1", "n2"):
        write_labels(tmp_path / "truth" / f"{session}_labels.csv")
    arguments = ["evaluate", str(predictions), "--labels", str(tmp_path / "truth")]
    assert main(arguments) == 0
    (split, scores), *more = summary_of(predictions)["scores"].items()
    assert split == "new" and more == [] and scores["whole_sessions"] and scores["sessions"] == 2
    true, predicted = [], []
    for session in ("n1", "n2"):
        one_hot, names = load_label_csv(tmp_path / "truth" / f"{session}_labels.csv")
        true.append(one_hot.argmax(1))
        classes = pd.read_csv(predictions / f"{session}_predictions.csv")["class"]
        predicted.append(classes.map(list(names).index).to_numpy())
    true, predicted = np.concatenate(true), np.concatenate(predicted)
    scored = true != 0
    assert scores["frames"] == scored.sum() == 380
    assert scores["accuracy"] == pytest.approx((true == predicted)[scored].mean(), abs=1e-6)
    f1 = []
    for c in (1, 2):
        hits = ((true == c) & (predicted == c) & scored).sum()
        f1.append(2 * hits / ((true == c) & scored).sum().__add__((predicted[scored] == c).sum()))
    assert scores["macro_f1"] == pytest.approx(np.mean(f1), abs=1e-6)
    table = pd.read_csv(predictions / "time_budget.csv")
    assert table["frames_scored"].sum() == table["frames_labelled"].sum() == 380
    assert set(table["session_scored"]) == {190}
    for name in ("confusion", "bout_lengths", "reliability"):
        assert (predictions / f"{name}.png").is_file()


@pytest.mark.parametrize("project", [False, True])
def test_labels_lie_beside_the_inputs(model, new, tmp_path, project):
    folder = new
    if project:
        folder = tmp_path / "project"
        shutil.move(new, folder / "markers")
    write_labels(folder / "labels-hand" / "n1.csv")
    out = tmp_path / "out"
    assert main(["predict", str(model), str(folder), "--output_dir", str(out)]) == 0
    assert main(["evaluate", str(out), "--no-pictures"]) == 0
    assert summary_of(out)["scores"]["new"]["frames"] == 190
    assert "scores" not in summary_of(out)["sessions"]["n2"]


def test_where_the_labels_are_need_not_be_said_twice(predictions, tmp_path, capsys):
    write_labels(tmp_path / "truth" / "n1.csv")
    arguments = ["evaluate", str(predictions), "--no-pictures", "--labels", str(tmp_path / "truth")]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(["report", str(predictions)]) == 0
    printed = capsys.readouterr().out
    assert f"hand labels are those in {tmp_path / 'truth'}" in printed
    assert "no score of n2" in printed
    assert report_of(predictions / "report.html")["scores"]["new"]["frames"] == 190


def test_labels_of_another_frame_rate_are_refused(predictions, tmp_path, capsys):
    path = write_labels(tmp_path / "truth" / "n1.csv")
    write_label_record(path.parent, {"n1.csv": LabelFile("n1.boris.csv", "boris", 30, 200, None)})
    assert main(["evaluate", str(predictions), "--labels", str(path.parent)]) == 2
    error = capsys.readouterr().err
    assert "expected labels of 25 frames a second" in error and "converted with 30" in error


def test_labels_that_are_not_there_are_an_error(predictions, tmp_path, capsys):
    (tmp_path / "truth").mkdir()
    assert main(["evaluate", str(predictions), "--labels", str(tmp_path / "truth")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'truth'}: expected hand labels of n1, n2" in error


def test_labels_may_lack_the_last_frame(predictions, new):
    path = write_labels(new / "labels-hand" / "n1.csv")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert summary_of(predictions)["scores"]["new"]["frames"] == 189


@pytest.mark.slow
def test_a_class_that_new_labels_lack_is_said(predictions, new):
    write_labels(new / "labels-hand" / "n1.csv", names=("walk", "rest", "background"))
    write_labels(new / "labels-hand" / "n2.csv", n_frames=200)
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert cautions_of(predictions) == ""  # another order is none of theirs
    assert summary_of(predictions)["scores"]["new"]["frames"] == 380
    one = np.tile([1, 0], (200, 1))
    pd.DataFrame(one, columns=["background", "rest"]).to_csv(new / "labels-hand" / "n2.csv")
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert "n2: the hand labels have no class walk" in cautions_of(predictions)


def test_labels_of_one_class_come_with_a_caution(predictions, new):
    path = write_labels(new / "labels-hand" / "n1.csv")
    path.write_text(path.read_text().replace("0,0,1\n", "1,0,0\n"))  # nobody scored walk
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert "'rest' is the only class that is scored" in cautions_of(predictions)


def test_classes_that_the_model_does_not_know_are_refused(predictions, new, capsys):
    path = write_labels(new / "labels-hand" / "n1.csv")
    path.write_text(path.read_text().replace("walk", "groom"))
    assert main(["evaluate", str(predictions)]) == 2
    error = capsys.readouterr().err
    assert "expected the classes that the model was trained with (background, rest, walk)" in error
    assert "found groom" in error and error.count("\n") == 1


# ------------------------------------------------------------------------------ never as new


@pytest.mark.slow
def test_sessions_of_the_training_keep_their_role_in_predictions(model, new, tmp_path, capsys):
    inputs = [str(tmp_path / "data" / "markers"), str(new)]
    out = tmp_path / "out"
    assert main(["predict", str(model), *inputs, "--output_dir", str(out)]) == 0
    write_labels(new / "labels-hand" / "n1.csv")
    assert main(["evaluate", str(out), "--no-pictures"]) == 0
    assert main(["evaluate", str(model), "--no-pictures"]) == 0
    found, expected = summary_of(out), summary_of(model)
    assert list(found["scores"]) == ["train", "val", "test", "new"]
    for split in ("train", "val", "test"):
        assert found["scores"][split] == expected["scores"][split]
    assert found["scores"]["new"]["frames"] == 190
    assert "the training had m1, m2" in cautions_of(out)
    table = pd.read_csv(out / "time_budget.csv").groupby("session")["split"].first()
    assert table.to_dict() == {"m1": "train", "m2": "test", "n1": "new", "n2": "new"}


def test_a_trackers_suffix_makes_no_session_new(model, tmp_path):
    source = tmp_path / "data" / "markers" / "m1.csv"
    (tmp_path / "other").mkdir()
    shutil.copy(source, tmp_path / "other" / "m1DLC_resnet50_shuffle1_5000.csv")
    write_labels(tmp_path / "other" / "labels-hand" / "m1.csv")
    arguments = ["predict", str(model), str(tmp_path / "other"), "--output_dir"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert main(["evaluate", str(tmp_path / "out"), "--no-pictures"]) == 0
    assert set(summary_of(tmp_path / "out")["scores"]) == {"train", "val"}


def test_inputs_of_the_training_by_another_name_are_not_new(model, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "data" / "markers" / "m2.csv", tmp_path / "other" / "z.csv")
    write_labels(tmp_path / "other" / "labels-hand" / "z.csv")
    arguments = ["predict", str(model), str(tmp_path / "other"), "--output_dir"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert main(["evaluate", str(tmp_path / "out"), "--no-pictures"]) == 0
    assert set(summary_of(tmp_path / "out")["scores"]) == {"test"}
    assert "z: its inputs are, byte for byte, those of m2" in cautions_of(tmp_path / "out")


@pytest.mark.slow
def test_inputs_of_the_training_are_known_where_they_are_gone(model, tmp_path):
    assert main(["evaluate", str(model), "--no-pictures"]) == 0
    (tmp_path / "data" / "markers" / "m1.csv").rename(tmp_path / "z.csv")
    arguments = ["predict", str(model), str(tmp_path / "z.csv"), "--output_dir"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert main(["evaluate", str(tmp_path / "out"), "--no-pictures"]) == 0
    assert "z: its inputs are, byte for byte, those of m1" in cautions_of(tmp_path / "out")


def test_another_video_by_the_name_of_one_of_the_training_is_cautioned(model, tmp_path):
    write_inputs(tmp_path / "other" / "m1.csv", seed=9)
    arguments = ["predict", str(model), str(tmp_path / "other"), "--output_dir"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert main(["evaluate", str(tmp_path / "out"), "--no-pictures"]) == 0
    assert "m1: the training had a session of this name with other inputs" in cautions_of(
        tmp_path / "out"
    )


# ------------------------------------------------------------------------------ stale


def test_predictions_of_an_earlier_state_of_the_model_are_refused(predictions, model, capsys):
    Smoother("bouts", 9).save(model / "smoothing.json")
    assert main(["report", str(predictions)]) == 2
    error = capsys.readouterr().err
    assert "those of n1, n2 are of another model or an earlier state" in error
    assert "'daart-fast predict " in error and error.count("\n") == 1


def test_a_model_that_moved_is_named(predictions, model, tmp_path, capsys):
    shutil.move(model, tmp_path / "moved")
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 2
    assert f"{model}: expected the model that has written" in capsys.readouterr().err
    arguments = ["evaluate", str(predictions), "--no-pictures", "--model", str(tmp_path / "moved")]
    assert main(arguments) == 0


def test_inputs_that_changed_are_cautioned_and_gone_ones_are_not_needed(predictions, new):
    write_inputs(new / "n1.csv", seed=20)
    (new / "n2.csv").unlink()
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert "the inputs of n1 have changed since" in cautions_of(predictions)


def test_tables_that_were_edited_are_cautioned(predictions):
    path = predictions / "n1_bouts.csv"
    path.write_text(path.read_text() + "walk,0,1,1\n")
    before = path.read_text()
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert "n1_bouts.csv: edited or removed" in cautions_of(predictions)
    assert path.read_text() == before


def test_probabilities_that_were_edited_are_refused(predictions, capsys):
    np.save(predictions / "n1_states.npy", np.full((200, 3), 1 / 3, np.float32))
    assert main(["evaluate", str(predictions)]) == 2
    assert "expected n1_states.npy as predict has written it" in capsys.readouterr().err


def test_sessions_that_are_not_finished_are_named(predictions):
    path = predictions / "n2_record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "outputs": {}}))
    assert main(["evaluate", str(predictions), "--no-pictures"]) == 0
    assert set(summary_of(predictions)["sessions"]) == {"n1"}
    assert "without n2: the prediction is under way" in cautions_of(predictions)


def test_sessions_of_two_frame_rates_are_refused(predictions, model, tmp_path, capsys):
    inputs = write_inputs(tmp_path / "slow" / "n3.csv", 3)
    arguments = ["predict", str(model), str(inputs), "--output_dir", str(predictions)]
    assert main([*arguments, "--fps", "10"]) == 0
    assert main(["evaluate", str(predictions)]) == 2
    assert "expected sessions of one frame rate, found 25.0 (n2), 10.0 (n3)" in (
        capsys.readouterr().err
    )


# ------------------------------------------------------------------------------ the user's files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "n1_ethogram.png", "report.html"])
def test_files_of_the_users_are_not_replaced(predictions, name, capsys):
    (predictions / name).write_text("precious")
    command = "report" if name == "report.html" else "evaluate"
    assert main([command, str(predictions)]) == 2
    error = capsys.readouterr().err
    assert str(predictions / name) in error and "--overwrite" in error
    assert (predictions / name).read_text() == "precious"
    assert main([command, str(predictions), "--overwrite"]) == 0


@pytest.mark.slow
def test_an_evaluation_can_be_written_elsewhere_and_repeated(predictions, tmp_path):
    before, out = contents(predictions), tmp_path / "out"
    for _ in range(2):
        assert main(["evaluate", str(predictions), "--output_dir", str(out)]) == 0
        assert main(["report", str(predictions), "--output_dir", str(out)]) == 0
    assert contents(predictions) == before
    assert {"summary.json", "time_budget.csv", "n1_ethogram.png", "report.html"} <= {
        path.name for path in out.iterdir()
    }


# ------------------------------------------------------------------------------ --data_dir


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_folder_of_new_videos_is_predicted_first(model, new, command):
    write_labels(new / "labels-hand" / "n2.csv")
    before = contents(model)
    assert main([command, str(model), "--data_dir", str(new)]) == 0
    assert summary_of(new / "predictions")["scores"]["new"]["frames"] == 190
    assert set(pd.read_csv(new / "predictions" / "time_budget.csv")["session"]) == {"n1", "n2"}
    assert (new / "predictions" / "report.html").is_file() == (command == "report")
    assert contents(model) == before
    assert main([command, str(model), "--data_dir", str(new)]) == 0  # nothing is predicted twice


def test_new_sessions_among_those_of_the_training_are_scored_as_new(model, new, tmp_path):
    data = tmp_path / "data"
    shutil.copy(new / "n1.csv", data / "markers" / "n1.csv")
    write_labels(data / "labels-hand" / "n1.csv")
    arguments = ["evaluate", str(model), "--data_dir", str(data), "--no-pictures"]
    assert main([*arguments, "--output_dir", str(tmp_path / "out")]) == 0
    scores = summary_of(tmp_path / "out")["scores"]
    assert set(scores) == {"train", "val", "test", "new"} and scores["new"]["sessions"] == 1


def test_data_that_moved_with_unlabelled_sessions_are_the_models_own(model, new, tmp_path, capsys):
    (tmp_path / "data").rename(tmp_path / "moved")
    shutil.copy(new / "n1.csv", tmp_path / "moved" / "markers" / "n1.csv")
    arguments = ["evaluate", str(model), "--data_dir", str(tmp_path / "moved"), "--no-pictures"]
    assert main(arguments) == 0
    assert set(summary_of(model)["scores"]) == {"train", "val", "test"}
    assert set(summary_of(model)["sessions"]) == {"m1", "m2"}
    assert "1 sessions more, without hand labels" in capsys.readouterr().out


def test_a_new_video_that_cannot_be_read_does_not_stop_the_rest(model, new, capsys):
    (new / "n0.csv").write_text("nonsense\n")
    assert main(["evaluate", str(model), "--data_dir", str(new), "--no-pictures"]) == 2
    assert "1 of 3 sessions failed: n0" in capsys.readouterr().err
    assert set(summary_of(new / "predictions")["sessions"]) == {"n1", "n2"}


@pytest.mark.slow
def test_what_decides_predictions_is_refused_where_they_stay_as_they_are(
    predictions, model, new, capsys
):
    assert main(["evaluate", str(predictions), "--fps", "10"]) == 2
    assert "--fps" in capsys.readouterr().err
    smooth = ["--smoothing", "median", "--smoothing_frames", "3"]
    assert main(["evaluate", str(model), "--data_dir", str(new), *smooth]) == 2
    assert "--smoothing: " in capsys.readouterr().err
    assert main(["evaluate", str(model), "--data_dir", str(new), "--fps", "10"]) == 0
    assert summary_of(new / "predictions")["fps"] == 10


@pytest.mark.slow
def test_pictures_of_predictions_come_in_the_formats_asked_for(predictions, capsys):
    assert main(["evaluate", str(predictions)]) == 0
    assert main(["evaluate", str(predictions), "--picture_format", "pdf;svg"]) == 0
    drawn = {path.name for path in predictions.glob("n1_ethogram.*")}
    assert drawn == {"n1_ethogram.pdf", "n1_ethogram.svg"}
    assert main(["evaluate", str(predictions)]) == 0
    assert main(["evaluate", str(predictions), "--picture_format", "gif"]) == 2
    assert "png, pdf, svg, or several as 'png;pdf'" in capsys.readouterr().err


def test_options_of_new_videos_are_refused_of_a_models_own(model, tmp_path, capsys):
    assert main(["evaluate", str(model), "--labels", str(tmp_path)]) == 2
    assert "--labels: expected a folder of predictions or of new videos" in capsys.readouterr().err
    assert main(["report", str(model), "--output_dir", str(tmp_path / "out")]) == 2
    assert "--output_dir: expected new videos" in capsys.readouterr().err


@pytest.mark.slow
def test_behaviours_that_occur_at_once_are_scored_too(model, new, tmp_path):
    hparams = yaml.safe_load((model / "hparams.yaml").read_text())
    hparams["classifier_type"] = "multibinary"
    several = tmp_path / "version_1"
    export_hparams(hparams, several / "hparams.yaml")
    Segmenter(hparams).save(several / "best_val_model.pt")
    write_labels(new / "labels-hand" / "n1.csv")
    assert main(["evaluate", str(several), "--data_dir", str(new)]) == 0
    scores = summary_of(new / "predictions")["scores"]["new"]
    assert scores["frames"] == 190  # nobody looked at the first ten
    assert list(scores["classes"]) == ["rest", "walk"]
