"""Each command does on small real files what its help says."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import daart_fast as df
from daart_fast.cli import COMMANDS, main
from daart_fast.config import KEYS, with_defaults
from daart_fast.data.from_config import build_data_generator
from daart_fast.eval import Smoother
from daart_fast.experiment.stored import export_hparams
from daart_fast.models import Segmenter, export_states

NAMES = ("background", "rest", "walk")


def write_project(folder: Path, *sessions: str, n_frames: int = 300) -> Path:
    """Markers of two points, and labels: rest while the nose is on the left, else walk."""
    for kind in ("markers", "labels-hand"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for seed, session in enumerate(sessions):
        draw = np.random.default_rng(seed)
        classes = np.tile(np.repeat([1, 2], 25), n_frames // 50)
        values = draw.normal(100, 5, (n_frames, 4)) + 40 * (classes[:, None] - 1)
        points = np.insert(values, (2, 4), 0.9, axis=1)
        lines = [
            "scorer,s,s,s,s,s,s",
            "bodyparts,nose,nose,nose,tail,tail,tail",
            "coords,x,y,likelihood,x,y,likelihood",
            *(f"{i}," + ",".join(map(repr, row)) for i, row in enumerate(points.tolist())),
        ]
        (folder / "markers" / f"{session}.csv").write_text("\n".join(lines))
        rows = np.eye(3, dtype=int)[classes].tolist()
        lines = [f"{i}," + ",".join(map(str, row)) for i, row in enumerate(rows)]
        text = "\n".join(["," + ",".join(NAMES), *lines])
        (folder / "labels-hand" / f"{session}.csv").write_text(text)
    return folder


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """An untrained model of a project of two sessions, with its states."""
    data = write_project(tmp_path / "data", "m1", "m2")
    hparams = with_defaults(
        {
            "data_dir": str(data),
            "expt_ids": ["m1"],
            "expt_ids_test": ["m2"],
            "sequence_length": 50,
            "trial_splits": "2;1;0;0",
            "n_hid_layers": 1,
            "n_hid_units": 4,
            "fps": 25.0,
        }
    )
    generator = build_data_generator(hparams)
    model = Segmenter(hparams)
    folder = tmp_path / "version_0"
    export_hparams(hparams, folder / "hparams.yaml")
    model.save(folder / "best_val_model.pt")
    export_states(model, generator, folder)
    return folder


def table(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


# ------------------------------------------------------------------------------ all


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out and f"daart-fast {command}" in out.split("examples:")[1]


def test_an_error_is_one_line_and_debug_shows_where(tmp_path, capsys):
    arguments = ["predict", str(tmp_path / "none"), str(tmp_path / "s.csv")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("daart-fast: error: ") and error.count("\n") == 1
    with pytest.raises(ValueError, match="none: no such folder"):
        main([*arguments, "--debug"])


def test_an_error_that_nobody_foresaw_is_one_line_too(monkeypatch, capsys):
    def fail(options):
        raise RuntimeError("what nobody\nforesaw")

    monkeypatch.setattr(COMMANDS["info"], "run", fail)
    assert main(["info"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "(--debug shows where)" in error


def test_info_names_versions_cores_and_the_openmp_runtime(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert all(
        word in out for word in ("numba", "torch", "cores: ", "GPU: ", "csv: ", "OpenMP runtime: ")
    )


def test_info_and_keys_are_json_for_scripts(capsys):
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["daart_fast"] == df.__version__ and any("torch" in line for line in info["kernels"])
    assert main(["keys", "n_lags", "fps", "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)
    assert list(keys) == [name for name in KEYS if name in ("n_lags", "fps")]
    assert keys["n_lags"]["default"] == KEYS["n_lags"].default and keys["n_lags"]["file"] == "model"


def test_doctor_ends_with_the_next_command_and_is_json_for_scripts(tmp_path, capsys):
    folder = write_project(tmp_path / "data", "m1", "m2")
    assert main(["doctor", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"  daart-fast train {folder} --fps RATE"
    assert main(["doctor", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sessions"]["m1"]["files"]["markers"] == "markers/m1.csv"
    assert found["next"] == [f"daart-fast train {folder} --fps RATE"]
    shutil.rmtree(folder / "labels-hand")
    assert main(["doctor", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"daart-fast convert-labels EXPORTS --markers {folder / 'markers'}" in out


def test_doctor_reads_a_folder_as_its_settings_say(tmp_path, capsys):
    folder = write_project(tmp_path / "data", "m1", "m2")
    (folder / "data.yaml").write_text("data_dir: .\nexpt_ids: [m1]\nkeypoints: nose\nfps: 25\n")
    assert main(["doctor", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sessions"]["m1"]["channels"] == ["nose_x", "nose_y"]
    assert "leaves out sessions that have hand labels: m2" in found["might_surprise"][0]
    assert found["next"] == [f"daart-fast train {folder}"]


def complete(*words: str) -> list[str]:
    """What bash offers after these words, the last of which is being typed."""
    script = """eval "$(cat)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
        completer=$(complete -p daart-fast | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        "$completer" daart-fast "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}" """
    with redirect_stdout(io.StringIO()) as completion:
        assert main(["completion", "bash"]) == 0
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        input=completion.getvalue(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_shell_completes_commands_options_and_config_keys():
    pytest.importorskip("shtab")
    assert complete("daart-fast", "eva") == ["evaluate"]
    assert "--backbone" in complete("daart-fast", "train", "--backb")
    assert complete("daart-fast", "predict", "--out") == ["--output_dir"]
    assert set(complete("daart-fast", "train", "--backbone", "")) >= {"dtcn", "lstm"}


def test_quiet_prints_errors_and_verbose_prints_the_log(tmp_path):
    write_project(tmp_path, "m1", "m2")
    settings = ["--fps", "25", "--n_hid_units", "4", "--max_epochs", "2", "--min_epochs", "1"]
    settings += ["--sequence_length", "20"]

    def train(*options: str) -> str:
        words = [sys.executable, "-m", "daart_fast", "train", str(tmp_path), *options]
        return subprocess.run(words, capture_output=True, text=True, check=True).stderr

    assert train(*settings, "--quiet", "--rng_seed_model", "0") == ""
    assert "INFO" in train("--verbose", "--rng_seed_model", "1")
    wrong = subprocess.run(
        [sys.executable, "-m", "daart_fast", "predict", "nowhere", "x.csv", "--quiet"],
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2 and wrong.stderr.startswith("daart-fast: error: ")


# ------------------------------------------------------------------------------ predict


@pytest.mark.slow
def test_a_folder_is_predicted_to_csv_and_npy_and_what_is_done_is_skipped(
    model_dir, tmp_path, capsys
):
    out = tmp_path / "out"
    arguments = ["predict", str(model_dir), str(tmp_path / "data/markers"), "--output_dir"]
    assert main([*arguments, str(out)]) == 0
    for session in ("m1", "m2"):
        states = np.load(out / f"{session}_states.npy")
        rows = table(out / f"{session}_predictions.csv")
        assert len(rows) == 301 and rows[0] == ["frame", "time", "class", *NAMES]
        assert rows[26][1] == "1"
        np.testing.assert_allclose(np.array(rows[1:])[:, 3:].astype(float), states, atol=1e-5)
        assert table(out / f"{session}_bouts.csv")[0] == ["class", "start", "stop", "duration"]
        np.testing.assert_allclose(states, np.load(model_dir / f"{session}_states.npy"), atol=1e-6)
    (out / "m1_states.npy").unlink()
    capsys.readouterr()
    assert main([*arguments, str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1 sessions are done already" in printed and "m2.csv" not in printed
    assert main([*arguments, str(out), "--overwrite"]) == 0
    assert "m2.csv: 300 frames" in capsys.readouterr().out


@pytest.mark.slow
def test_processes_share_the_sessions_and_write_the_same_files(model_dir, tmp_path, capsys):
    arguments = ["predict", str(model_dir), str(tmp_path / "data/markers"), "--output_dir"]
    assert main([*arguments, str(tmp_path / "one")]) == 0
    before = capsys.readouterr().out
    assert main([*arguments, str(tmp_path / "two"), "--jobs", "2"]) == 0
    assert capsys.readouterr().out == before.replace(str(tmp_path / "one"), str(tmp_path / "two"))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 10
    for name in files:
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_session_that_cannot_be_read_is_told_and_the_others_go_on(
    model_dir, tmp_path, capsys, jobs
):
    (tmp_path / "data/markers/m0.csv").write_text("nonsense\n")
    arguments = ["predict", str(model_dir), str(tmp_path / "data/markers"), "--jobs", jobs]
    assert main([*arguments, "--output_dir", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert "m1.csv: 300 frames" in printed.out and "m2.csv: 300 frames" in printed.out
    first, last = printed.err.splitlines()
    assert first.startswith(f"daart-fast: error: {tmp_path / 'data/markers/m0.csv'}")
    assert last == "daart-fast: error: 1 of 3 sessions failed: m0"
    assert {path.name[:2] for path in (tmp_path / "out").glob("*.npy")} == {"m1", "m2"}
    assert set(pd.read_csv(tmp_path / "out/time_budget.csv")["session"]) == {"m1", "m2"}


def test_what_hits_every_session_ends_the_command(model_dir, tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("daart_fast.eval.write_bouts", full)
    arguments = ["predict", str(model_dir), str(tmp_path / "data/markers")]
    assert main([*arguments, "--output_dir", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("No space left on device") == 1


def test_new_sessions_are_smoothed_as_the_model_is(model_dir, tmp_path):
    Smoother("bouts", 10_000).save(model_dir / "smoothing.json")
    session = str(tmp_path / "data/markers/m1.csv")
    assert main(["predict", str(model_dir), session, "--output_dir", str(tmp_path)]) == 0
    assert len(table(tmp_path / "m1_bouts.csv")) == 2  # one bout is all that is left


def test_slurm_without_its_commands_is_refused(model_dir, tmp_path, capsys, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is not installed (the extra 'slurm')")
    monkeypatch.setenv("PATH", "")
    files = str(tmp_path / "data/markers")
    output = str(tmp_path / "out")
    arguments = ["predict", str(model_dir), files, "--executor", "slurm", "--output_dir", output]
    assert main(arguments) == 2
    assert "needs Slurm's commands (sbatch, srun, squeue)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{tim: 60}", "expected there is no 'tim' in it (did you mean 'time'?), got"),
        ("{time: soon}", "'time' is 'soon': expected"),
        ("{time", "while parsing a flow mapping"),
        ("60", "expected a mapping with"),
    ],
)
def test_what_is_asked_of_slurm_is_checked(capsys, text, words):
    assert main(["predict", "version_0", "m1.csv", "--slurm", text]) == 2
    assert words in capsys.readouterr().err


# ------------------------------------------------------------------------------ evaluate


@pytest.mark.slow
def test_evaluate_writes_scores_tables_and_pictures(model_dir, capsys):
    assert main(["evaluate", str(model_dir)]) == 0
    summary = json.loads((model_dir / "summary.json").read_text())
    assert set(summary["scores"]) == {"train", "val", "test"}
    out = capsys.readouterr().out
    assert "macro-F1" in out and "held-out videos, by class" in out and "walk" in out
    for name in ("m1_ethogram", "m2_ethogram", "confusion", "bout_lengths", "reliability"):
        assert (model_dir / f"{name}.png").stat().st_size > 1000
    assert (model_dir / "m2_bouts.csv").is_file()


@pytest.mark.slow
def test_pictures_come_in_the_format_asked_for(model_dir):
    assert main(["evaluate", str(model_dir), "--picture_format", "svg"]) == 0
    for name in ("m1_ethogram", "confusion", "bout_lengths", "reliability"):
        assert "<svg" in (model_dir / f"{name}.svg").read_text(encoding="utf-8")
    assert not list(model_dir.glob("*_ethogram.png"))


def test_smoothing_can_be_changed_after_training(model_dir, tmp_path):
    before = (model_dir / "m2_states.npy").read_bytes()
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--smoothing", "bouts"]
    assert main([*arguments, "--smoothing_seconds", "0.4"]) == 0
    summary = json.loads((model_dir / "summary.json").read_text())
    assert summary["smoothing"] == {"method": "bouts", "frames": 10}
    assert (model_dir / "m2_states.npy").read_bytes() == before
    assert not (model_dir / "confusion.png").exists()


def test_data_that_moved_are_found_where_they_are_said_to_be(model_dir, tmp_path):
    (tmp_path / "data").rename(tmp_path / "moved")
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 2
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--data_dir"]
    assert main([*arguments, str(tmp_path / "moved")]) == 0


@pytest.mark.parametrize("what", ["missing", "too short, as daart's are"])
def test_states_that_are_not_there_for_every_frame_are_predicted(model_dir, what):
    states = np.load(model_dir / "m2_states.npy")
    (model_dir / "m2_states.npy").unlink()
    if what != "missing":
        np.save(model_dir / "m2_states.npy", states[:250])
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    assert np.load(model_dir / "m2_states.npy").shape == (300, 3)


def other_data(tmp_path: Path) -> Path:
    """Data of the same names and lengths, in which rest and walk have changed their sides."""
    data = write_project(tmp_path / "other", "m2", "m1")
    for path in (data / "labels-hand").iterdir():
        rows = [line.split(",") for line in path.read_text().splitlines()]
        text = [rows[0], *([i, a, c, b] for i, a, b, c in rows[1:])]
        path.write_text("\n".join(",".join(row) for row in text))
    return data


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())["scores"]


def fresh_scores(model_dir: Path, data: Path) -> dict:
    """What a copy of the model that has no states yet, and knows no other data, is scored."""
    copy = model_dir.parent / "fresh"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("hparams.yaml", "best_val_model.pt"):
        shutil.copy(model_dir / name, copy)
    hparams = yaml.safe_load((copy / "hparams.yaml").read_text())
    export_hparams({**hparams, "data_dir": str(data)}, copy / "hparams.yaml")
    assert main(["evaluate", str(copy), "--no-pictures"]) == 0
    return scores_of(copy)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.iterdir() if path.name != "report.html")
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.slow
def test_other_data_of_the_same_length_are_predicted_anew(model_dir, tmp_path):
    data, out = other_data(tmp_path), tmp_path / "out"
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    before = contents(model_dir)
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--data_dir", str(data)]
    assert main([*arguments, "--output_dir", str(out)]) == 0
    assert scores_of(out) == fresh_scores(model_dir, data)
    assert contents(model_dir) == before


@pytest.mark.slow
def test_scores_of_other_data_do_not_replace_the_models_own_unasked(model_dir, tmp_path, capsys):
    data = other_data(tmp_path)
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    before = contents(model_dir)
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--data_dir", str(data)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert f"{data}: expected the data that the scores in {model_dir} are of" in error
    assert "--output_dir" in error and contents(model_dir) == before
    assert main([*arguments, "--output_dir", str(model_dir)]) == 0
    assert scores_of(model_dir) == fresh_scores(model_dir, data)
    assert (model_dir / "m2_states.npy").read_bytes() == before["m2_states.npy"]


@pytest.mark.slow
def test_other_data_are_smoothed_as_the_model_is(model_dir, tmp_path):
    smooth = ["--smoothing", "bouts", "--smoothing_seconds", "0.4"]
    assert main(["evaluate", str(model_dir), "--no-pictures", *smooth]) == 0
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--data_dir"]
    arguments += [str(other_data(tmp_path)), "--output_dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    summary = tmp_path / "out" / "summary.json"
    assert json.loads(summary.read_text())["smoothing"] == {"method": "bouts", "frames": 10}
    assert main([*arguments, "--smoothing", "median", "--smoothing_frames", "3"]) == 0
    assert json.loads(summary.read_text())["smoothing"] == {"method": "median", "frames": 3}


@pytest.mark.parametrize("name", ["m1_bouts.csv", "hparams.yaml"])
def test_an_evaluation_is_not_written_among_files_of_something_else(
    model_dir, tmp_path, capsys, name
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("precious")
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--output_dir"]
    assert main([*arguments, str(tmp_path / "out")]) == 2
    assert f"found {name}" in capsys.readouterr().err
    assert contents(tmp_path / "out") == {name: b"precious"}


def test_an_evaluation_that_was_cut_short_can_be_repeated(model_dir, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m1_states.npy").write_bytes(b"half")
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--data_dir"]
    arguments += [str(other_data(tmp_path)), "--output_dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert len(np.load(tmp_path / "out" / "m1_states.npy")) == 300


def trained_on(data: Path, folder: Path, **settings: Any) -> Path:
    """An untrained model of m1, with m2 held out."""
    hparams = with_defaults(
        {
            "data_dir": str(data), "expt_ids": ["m1"], "expt_ids_test": ["m2"],
            "sequence_length": 50, "trial_splits": "2;1;0;0", "n_hid_layers": 1, **settings,
        }
    )  # fmt: skip
    build_data_generator(hparams)
    export_hparams(hparams, folder / "hparams.yaml")
    Segmenter(hparams).save(folder / "best_val_model.pt")
    return folder


def test_sessions_are_put_on_the_scale_of_training_whatever_became_of_its_data(tmp_path):
    data = write_project(tmp_path / "data", "m1", "m2")
    folder = trained_on(data, tmp_path / "version_0", normalization="train")
    session = data / "markers" / "m2.csv"
    assert main(["predict", str(folder), str(session), "--output_dir", str(tmp_path)]) == 0
    write_project(tmp_path / "wider", "m1", n_frames=600)
    shutil.copy(tmp_path / "wider" / "markers" / "m1.csv", data / "markers")
    shutil.copy(tmp_path / "wider" / "labels-hand" / "m1.csv", data / "labels-hand")
    assert main(["evaluate", str(folder), "--no-pictures"]) == 0
    found, expected = np.load(folder / "m2_states.npy"), np.load(tmp_path / "m2_states.npy")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def with_points_reversed(path: Path) -> None:
    """Write the same tracked points in the other order."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    turned = [[row[0], *row[7:10], *row[4:7], *row[1:4]] for row in rows]
    path.write_text("\n".join(map(",".join, turned)))


def test_keypoints_in_another_order_than_the_models_angles_are_of_are_refused(tmp_path, capsys):
    data = write_project(tmp_path / "data", "m1", "m2")
    for path in (data / "markers").iterdir():  # a third point, for an angle
        head, body, axes, *rows = path.read_text().splitlines()
        ends = (
            ",s,s,s",
            ",tip,tip,tip",
            ",x,y,likelihood",
            *(f",{i % 7},3,0.9" for i in range(300)),
        )
        lines = zip((head, body, axes, *rows), ends, strict=True)
        path.write_text("\n".join(line + end for line, end in lines))
    settings = {"input_type": "features-kinematic", "kinematic_groups": "speeds;angles"}
    folder = trained_on(data, tmp_path / "version_0", **settings)
    for path in (data / "markers").iterdir():
        with_points_reversed(path)
    assert main(["evaluate", str(folder), "--no-pictures"]) == 2
    error = capsys.readouterr().err
    assert f"{data}: expected the channels that the model was trained with" in error


@pytest.mark.slow
def test_another_frame_rate_changes_times_and_no_features(tmp_path):
    data = write_project(tmp_path / "data", "m1", "m2")
    kinematic = {"input_type": "features-kinematic", "kinematic_windows": "1", "fps": 10.0}
    folder = trained_on(data, tmp_path / "version_0", **kinematic)
    assert main(["evaluate", str(folder), "--no-pictures"]) == 0
    before = np.load(folder / "m2_states.npy")
    (folder / "m2_states.npy").unlink()
    assert main(["evaluate", str(folder), "--no-pictures", "--fps", "60"]) == 0
    np.testing.assert_allclose(np.load(folder / "m2_states.npy"), before, atol=1e-6)
    assert table(folder / "m2_predictions.csv")[31][1] == "0.5"


def test_several_behaviours_at_once_are_named_together_without_a_smoother(tmp_path):
    data = write_project(tmp_path / "data", "m1", "m2")
    folder = trained_on(data, tmp_path / "version_0", classifier_type="multibinary")
    session = str(data / "markers" / "m2.csv")
    assert main(["predict", str(folder), session, "--output_dir", str(tmp_path)]) == 0
    present = np.load(tmp_path / "m2_states.npy") > 0.5
    joined = [row[2] for row in table(tmp_path / "m2_predictions.csv")[1:]]
    assert joined == ["+".join(np.array(NAMES)[row]) for row in present]


@pytest.mark.slow
def test_markers_that_others_took_the_place_of_are_predicted_anew(model_dir, tmp_path):
    before = np.load(model_dir / "m2_states.npy")
    other = other_data(tmp_path) / "markers" / "m2.csv"
    place = tmp_path / "data" / "markers" / "m2.csv"
    os.utime(other, ns=(1, 1))  # mv keeps the time of writing
    os.replace(other, place)
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    assert scores_of(model_dir) == fresh_scores(model_dir, tmp_path / "data")
    assert not np.array_equal(np.load(model_dir / "m2_states.npy"), before)


def test_states_of_data_that_did_not_change_are_used_as_they_are(model_dir, monkeypatch):
    def fail(*arguments):
        raise AssertionError("predicted again")

    monkeypatch.setattr("daart_fast.models.export_states", fail)
    link = model_dir.parent / "link"
    link.symlink_to(model_dir.parent / "data")
    assert main(["evaluate", str(model_dir), "--no-pictures", "--data_dir", str(link)]) == 0


def test_data_whose_classes_come_in_another_order_are_refused(model_dir, tmp_path, capsys):
    data = write_project(tmp_path / "other", "m1", "m2")
    for path in (data / "labels-hand").iterdir():
        path.write_text(path.read_text().replace("rest,walk", "walk,rest"))
    assert main(["evaluate", str(model_dir), "--no-pictures", "--data_dir", str(data)]) == 2
    error = capsys.readouterr().err
    assert "(background, rest, walk), found background, walk, rest" in error


# ------------------------------------------------------------------------------ report


def reported(folder: Path, *arguments: str) -> dict:
    """What the report on one model shows."""
    assert main(["report", str(folder), *arguments]) == 0
    text = (folder / "report.html").read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["models"][0]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["markers", "labels-hand"])
def test_a_report_scores_data_that_have_changed_anew(model_dir, tmp_path, what):
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    old, before = scores_of(model_dir), contents(model_dir)
    shutil.copy(other_data(tmp_path) / what / "m2.csv", tmp_path / "data" / what / "m2.csv")
    model = reported(model_dir)
    assert model["scores"] == fresh_scores(model_dir, tmp_path / "data") != old
    assert model["note"] == ""
    assert contents(model_dir) == before


@pytest.mark.slow
def test_a_report_of_other_data_shows_their_scores_and_leaves_the_models_alone(model_dir, tmp_path):
    data = other_data(tmp_path)
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    before = contents(model_dir)
    model = reported(model_dir, "--data_dir", str(data))
    assert model["scores"] == fresh_scores(model_dir, data)
    assert contents(model_dir) == before
    assert reported(model_dir)["scores"] == scores_of(model_dir)


def test_a_report_smooths_anew_as_the_model_was_smoothed_last(model_dir, tmp_path):
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--smoothing", "bouts"]
    assert main([*arguments, "--smoothing_frames", "20"]) == 0
    labels = "labels-hand/m2.csv"
    shutil.copy(other_data(tmp_path) / labels, tmp_path / "data" / labels)
    assert reported(model_dir)["smoothing"] == {"method": "bouts", "frames": 20}


def test_a_report_that_cannot_predict_says_that_its_scores_are_old(model_dir, tmp_path):
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    labels = "labels-hand/m2.csv"
    shutil.copy(other_data(tmp_path) / labels, tmp_path / "data" / labels)
    (model_dir / "best_val_model.pt").unlink()
    assert "data have changed since these scores" in reported(model_dir)["note"]


# ------------------------------------------------------------------------------ several


@pytest.mark.slow
def test_several_models_are_drawn_against_their_settings(model_dir, tmp_path):
    picture = tmp_path / "search.png"
    assert main(["evaluate", str(model_dir), "--no-pictures", "--search", str(picture)]) == 0
    assert picture.stat().st_size > 1000


def test_a_method_that_does_not_exist_is_told(model_dir, capsys):
    assert main(["evaluate", str(model_dir), "--smoothing", "medain"]) == 2
    assert "did you mean 'median'" in capsys.readouterr().err


# ------------------------------------------------------------------------------ the rest


def test_features_are_written_as_training_can_read_them(tmp_path, capsys):
    data = write_project(tmp_path, "m1")
    arguments = ["features", str(data / "markers"), "--output_dir", str(data / "kinematic")]
    assert main([*arguments, "--groups", "speeds;distances", "--fps", "25"]) == 0
    rows = table(data / "kinematic" / "m1.csv")
    assert rows[0] == ["", "distance:nose:tail", "speed:nose", "speed:tail"] and len(rows) == 301
    hparams = with_defaults(
        {
            "data_dir": str(data),
            "input_type": "kinematic",
            "expt_ids": ["m1"],
            "sequence_length": 30,
        }
    )
    assert build_data_generator(hparams).input_names == rows[0][1:]
    assert main([*arguments, "--groups", "sped"]) == 2


def test_doctor_ends_with_1_where_something_would_fail(tmp_path, capsys):
    data = write_project(tmp_path, "m1", "m2")
    assert main(["doctor", str(data)]) == 0
    assert "2 sessions can be read" in capsys.readouterr().out
    (data / "labels-hand" / "m1.csv").write_text(",background,rest,walk\n0,1,0,0\n")
    assert main(["doctor", str(data)]) == 1
    assert "would fail:\n  - " in capsys.readouterr().out


def test_doctor_counts_a_single_session_in_the_singular(tmp_path, capsys):
    assert main(["doctor", str(write_project(tmp_path, "m1"))]) == 0
    assert "\n1 session can be read" in capsys.readouterr().out


def test_labels_are_converted_to_sessions_that_training_reads(tmp_path, capsys):
    data = write_project(tmp_path / "data", "mouse1DLC_resnet50", "mouse2DLC_resnet50")
    for path in (data / "labels-hand").iterdir():
        path.unlink()
    for name, behaviour in (("mouse1", "walk"), ("mouse2", "rest")):
        text = f"class,start,stop\n{behaviour},1,3\n"
        (tmp_path / f"{name}.csv").write_text(text)
    arguments = ["convert-labels", *(str(tmp_path / f"mouse{i}.csv") for i in (1, 2))]
    arguments += ["--markers", str(data / "markers"), "--output_dir", str(data / "labels-hand")]
    arguments += ["--unscored"]
    assert main([*arguments, "--fps", "10"]) == 0
    assert "300 frames: 280 background, 20 walk" in capsys.readouterr().out
    rows = table(data / "labels-hand" / "mouse1.csv")
    assert rows[0] == ["", "background", "rest", "walk"] and rows[11] == ["10", "0", "0", "1"]
    assert main(["doctor", str(data)]) == 0
    assert main([*arguments, "--classes", "wlak"]) == 2
    assert "did you mean 'walk'" in capsys.readouterr().err


def test_labels_without_a_length_need_one(tmp_path, capsys):
    (tmp_path / "m.csv").write_text("class,start,stop\nwalk,1,3\n")
    arguments = ["convert-labels", str(tmp_path / "m.csv"), "--output_dir", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "how many frames are there? Give --markers or --n_frames" in capsys.readouterr().err
    assert main([*arguments, "--n_frames", "9", "--other", "rest"]) == 0
    assert table(tmp_path / "out" / "m.csv")[9] == ["8", "0", "1", "0"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--smoothing_frames", "9"], "--smoothing_frames: expected --smoothing too"),
        (
            ["--smoothing", "hmm", "--smoothing_frames", "9"],
            "--smoothing_frames: expected --smoothing bouts, median or auto, found 'hmm'",
        ),
        (
            ["--smoothing", "bouts", "--smoothing_strength", "0.5"],
            "--smoothing_strength: expected --smoothing hmm, semi-markov or auto, found 'bouts'",
        ),
        (
            [
                "--smoothing",
                "bouts",
                "--smoothing_frames",
                "9",
                "--smoothing_seconds",
                "1",
                "--fps",
                "30",
            ],
            "--smoothing_seconds and --smoothing_frames: expected one of them",
        ),
    ],
)
def test_smoothing_that_would_not_be_used_is_refused(model_dir, capsys, given, expected):
    before = {path.name for path in model_dir.iterdir()}
    assert main(["evaluate", str(model_dir), *given]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert {path.name for path in model_dir.iterdir()} == before


def test_a_length_that_is_given_counts_before_the_one_of_training(model_dir):
    hparams = yaml.safe_load((model_dir / "hparams.yaml").read_text())
    export_hparams(
        {**hparams, "smoothing": "bouts", "smoothing_frames": 3}, model_dir / "hparams.yaml"
    )
    arguments = ["evaluate", str(model_dir), "--no-pictures", "--fps", "10"]
    assert main([*arguments, "--smoothing_seconds", "2"]) == 0
    summary = json.loads((model_dir / "summary.json").read_text())
    assert summary["smoothing"] == {"method": "bouts", "frames": 20}


def test_a_report_on_data_that_cannot_be_read_is_refused(model_dir, tmp_path, capsys):
    assert main(["evaluate", str(model_dir), "--no-pictures"]) == 0
    capsys.readouterr()
    assert main(["report", str(model_dir), "--data_dir", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'nowhere' / 'markers'}: expected a folder of inputs" in error
    assert not (model_dir / "report.html").exists()
