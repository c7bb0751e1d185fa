"""What `daart-fast predict` takes for done, does again, and leaves alone."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daart_fast.cli import main
from daart_fast.cli.progress import FrameProgress
from daart_fast.eval import Smoother
from daart_fast.experiment.stored import export_hparams
from daart_fast.models import Segmenter

NAMES = ("background", "rest", "walk")
FILES = ("predictions.csv", "bouts.csv", "states.npy")


def write_model(folder: Path, seed: int) -> Path:
    """An untrained model of two channels; the seed makes its weights."""
    hparams = {
        "backbone": "dtcn", "input_size": 2, "output_size": 3, "n_hid_layers": 1, "n_hid_units": 4,
        "n_lags": 1, "activation": "lrelu", "lambda_strong": 1.0, "sequence_length": 20,
        "sequence_pad": 2, "rng_seed_model": seed, "label_names": list(NAMES),
    }  # fmt: skip
    export_hparams(hparams, folder / "hparams.yaml")
    Segmenter(hparams).save(folder / "best_val_model.pt")
    return folder


def write_inputs(path: Path, seed: int = 0, n_frames: int = 40) -> Path:
    rows = np.random.default_rng(seed).standard_normal((n_frames, 2)).tolist()
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([",a,b", *(f"{i},{x},{y}" for i, (x, y) in enumerate(rows))]))
    return path


@pytest.fixture
def predict(tmp_path: Path):
    """Predict a session `m1` into the folder `out`."""
    model = write_model(tmp_path / "model", seed=0)
    inputs = write_inputs(tmp_path / "new" / "m1.csv")

    def run(*more: str, model: Path = model, inputs: Path = inputs) -> int:
        arguments = ["predict", str(model), str(inputs), "--output_dir", str(tmp_path / "out")]
        return main([*arguments, *more])

    return run


@pytest.fixture
def out(tmp_path: Path, predict) -> Path:
    """The folder of outputs of one call."""
    assert predict() == 0
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    """The sessions' files in a folder."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix != ".json" and path.name != "time_budget.csv"
    }


def states_of(tmp_path: Path, model: Path, inputs: Path) -> np.ndarray:
    """What is predicted where nothing was before."""
    arguments = ["predict", str(model), str(inputs), "--output_dir", str(tmp_path / "fresh")]
    assert main(arguments) == 0
    return np.load(tmp_path / "fresh" / f"{inputs.stem}_states.npy")


# ------------------------------------------------------------------------------ done


def test_a_session_that_is_done_is_left(predict, out, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert predict() == 0
    assert "1 sessions are done already" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_model_that_moved_is_the_same_model(predict, out, tmp_path, capsys):
    shutil.move(tmp_path / "model", tmp_path / "moved")
    assert predict(model=tmp_path / "moved") == 0
    assert "1 sessions are done already" in capsys.readouterr().out


def test_outputs_beside_their_inputs_are_no_sessions(predict, tmp_path, capsys):
    inputs = write_inputs(tmp_path / "out" / "m1.csv")
    assert predict(inputs=inputs) == 0
    write_inputs(tmp_path / "out" / "m2.csv", seed=1)
    assert predict(inputs=tmp_path / "out") == 0
    assert "1 sessions are done already" in capsys.readouterr().out
    write_inputs(inputs, seed=2)
    assert predict(inputs=tmp_path / "out") == 0
    names = {f"{session}_{name}" for session in ("m1", "m2") for name in FILES}
    assert set(contents(tmp_path / "out")) == {"m1.csv", "m2.csv"} | names


@pytest.fixture
def beside(predict, tmp_path: Path) -> Path:
    """A folder with inputs and, beside them, what was predicted of them."""
    inputs = write_inputs(tmp_path / "out" / "m1.csv")
    assert predict(inputs=inputs) == 0
    return tmp_path / "out"


def test_outputs_are_no_sessions_however_their_folder_is_spelt(
    predict, beside, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(beside)
    assert main(["predict", str(tmp_path / "model"), "../out"]) == 0  # written to where one is
    assert "1 sessions are done already" in capsys.readouterr().out


def test_outputs_are_no_sessions_for_another_folder(predict, beside, tmp_path):
    arguments = ["predict", str(tmp_path / "model"), str(beside), "--output_dir"]
    assert main([*arguments, str(tmp_path / "third")]) == 0
    assert set(contents(tmp_path / "third")) == {f"m1_{name}" for name in FILES}


def test_outputs_alone_are_refused(predict, beside, capsys):
    (beside / "m1.csv").unlink()
    assert predict(inputs=beside) == 2
    error = capsys.readouterr().err
    assert "expected files of inputs, found what predict has written" in error
    assert str(beside / "m1_bouts.csv") in error and error.count("\n") == 1


@pytest.mark.parametrize("spelling", ["new/../new/m1.csv", "link/m1.csv"])
def test_a_session_is_done_however_the_path_to_it_is_spelt(
    predict, out, tmp_path, capsys, spelling
):
    (tmp_path / "link").symlink_to(tmp_path / "new")
    assert predict(inputs=tmp_path / spelling) == 0
    assert "1 sessions are done already" in capsys.readouterr().out


# ------------------------------------------------------------------------------ stale


def test_outputs_of_another_model_are_made_anew(predict, out, tmp_path):
    other = write_model(tmp_path / "other", seed=1)
    assert predict(model=other) == 0
    expected = states_of(tmp_path, other, tmp_path / "new" / "m1.csv")
    np.testing.assert_array_equal(np.load(out / "m1_states.npy"), expected)


@pytest.mark.parametrize("where", ["new", "elsewhere"])
def test_outputs_of_other_inputs_are_made_anew(predict, out, tmp_path, where):
    inputs = write_inputs(tmp_path / where / "m1.csv", seed=1)
    assert predict(inputs=inputs) == 0
    expected = states_of(tmp_path, tmp_path / "model", inputs)
    np.testing.assert_array_equal(np.load(out / "m1_states.npy"), expected)


def test_smoothing_that_changed_makes_outputs_anew(predict, out, tmp_path):
    Smoother("bouts", 10_000).save(tmp_path / "model" / "smoothing.json")
    assert predict() == 0
    assert (out / "m1_bouts.csv").read_text().count("\n") == 2  # one bout is all that is left


def test_another_frame_rate_makes_outputs_anew(predict, out):
    assert predict("--fps", "10") == 0
    assert (out / "m1_predictions.csv").read_text().splitlines()[11].startswith("10,1,")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", ["nothing", "0 bytes", "half"])
def test_outputs_that_are_not_whole_are_made_anew(predict, out, name, left):
    before, path = contents(out), out / f"m1_{name}"
    if left == "nothing":
        path.unlink()
    else:
        os.truncate(path, 0 if left == "0 bytes" else path.stat().st_size // 2 - 1)
    assert predict() == 0
    assert contents(out) == before


def test_a_call_that_was_ended_amid_its_files_is_repeated(predict, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("daart_fast.eval.write_bouts", stop)
        assert predict() == 130
    assert (tmp_path / "out" / "m1_predictions.csv").is_file()
    assert predict() == 0
    assert len(contents(tmp_path / "out")) == 3


@pytest.mark.parametrize("moment", ["write_predictions", "write_bouts"])
def test_two_models_at_work_on_one_session_leave_none_of_it_for_done(
    predict, out, tmp_path, monkeypatch, capsys, moment
):
    import daart_fast.eval

    other, write = write_model(tmp_path / "other", seed=1), getattr(daart_fast.eval, moment)

    def meanwhile(*arguments):
        monkeypatch.setattr(daart_fast.eval, moment, write)
        assert predict("--overwrite", model=other) == 0
        write(*arguments)

    monkeypatch.setattr(daart_fast.eval, moment, meanwhile)
    assert predict("--overwrite") == 2
    assert "expected no other call at work on this session" in capsys.readouterr().err
    assert predict(model=other) == 0
    assert "done already" not in capsys.readouterr().out
    expected = states_of(tmp_path, other, tmp_path / "new" / "m1.csv")
    np.testing.assert_array_equal(np.load(out / "m1_states.npy"), expected)


# ------------------------------------------------------------------------------ not ours


@pytest.mark.parametrize("name", [*FILES, "record.json"])
@pytest.mark.parametrize("content", ["precious", ""])
def test_files_of_other_origin_are_not_replaced(predict, tmp_path, name, content, capsys):
    path = tmp_path / "out" / f"m1_{name}"
    path.parent.mkdir()
    path.write_text(content)
    assert predict() == 2
    error = capsys.readouterr().err
    assert str(path) in error and "--overwrite" in error and error.count("\n") == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_text() == content
    assert predict("--overwrite") == 0
    assert predict() == 0


@pytest.mark.parametrize("edit", ["longer", "shorter", "as long"])
def test_bouts_that_were_edited_are_not_replaced(predict, out, tmp_path, edit, capsys):
    path = out / "m1_bouts.csv"
    lines = path.read_text().splitlines()
    edited = {"longer": [*lines, "walk,1,2,1"], "shorter": lines[:-1], "as long": lines[::-1]}
    path.write_text("\n".join(edited[edit]) + "\n")
    before = contents(out)
    assert predict(model=write_model(tmp_path / "other", seed=1)) == 2
    assert str(path) in capsys.readouterr().err
    assert contents(out) == before


def test_all_sessions_are_looked_at_before_any_is_written(predict, tmp_path):
    write_inputs(tmp_path / "new" / "m0.csv")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m1_bouts.csv").write_text("precious")
    assert predict(inputs=tmp_path / "new") == 2
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_inputs_are_never_replaced(predict, tmp_path, capsys):
    shutil.copy(write_inputs(tmp_path / "out" / "m1.csv"), tmp_path / "out" / "m1_bouts.csv")
    before = contents(tmp_path / "out")
    assert predict("--overwrite", inputs=tmp_path / "out") == 2
    assert "expected an output that is no input" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


# ------------------------------------------------------------------------------ time budgets


def test_time_budgets_are_of_all_sessions_in_the_folder(predict, out, tmp_path, capsys):
    assert predict(inputs=write_inputs(tmp_path / "new" / "m2.csv", seed=1, n_frames=50)) == 0
    table = pd.read_csv(out / "time_budget.csv")
    assert table.groupby("session")["frames"].sum().to_dict() == {"m1": 40, "m2": 50}
    for session in ("m1", "m2"):
        classes = pd.read_csv(out / f"{session}_predictions.csv")["class"].value_counts()
        rows = table[table["session"] == session].set_index("class")["frames"]
        assert rows.to_dict() == {name: classes.get(name, 0) for name in NAMES}
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2] == f"2 sessions, 90 frames; time budgets in {out / 'time_budget.csv'}"
    assert printed[-1] == f"next: daart-fast report {out}"


def test_time_budgets_are_of_one_model(predict, out, tmp_path, capsys):
    inputs = write_inputs(tmp_path / "new" / "m2.csv", seed=1)
    assert predict(model=write_model(tmp_path / "other", seed=1), inputs=inputs) == 0
    assert set(pd.read_csv(out / "time_budget.csv")["session"]) == {"m2"}
    assert "without 1 sessions there" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["precious", "edited"])
def test_time_budgets_of_the_users_are_not_replaced(predict, tmp_path, capsys, change):
    path = tmp_path / "out" / "time_budget.csv"
    if change == "edited":
        assert predict() == 0
    else:
        path.parent.mkdir()
    path.write_text("session,group\nm1,control\n" * 50)
    before = path.read_text()
    assert predict(inputs=write_inputs(tmp_path / "new" / "m2.csv", seed=1)) == 2
    error = capsys.readouterr().err
    assert str(path) in error and "--overwrite" in error and error.count("\n") == 1
    assert path.read_text() == before and not (tmp_path / "out" / "m2_bouts.csv").exists()
    assert predict("--overwrite") == 0
    assert path.read_text() != before


def test_time_budgets_beside_inputs_are_no_session(predict, beside):
    assert (beside / "time_budget.csv").is_file()
    assert predict(inputs=beside) == 0


def test_a_project_is_its_folder_of_inputs(predict, tmp_path):
    write_inputs(tmp_path / "project" / "meta.csv")
    (tmp_path / "new").rename(tmp_path / "project" / "markers")
    assert predict(inputs=tmp_path / "project") == 0
    assert set(contents(tmp_path / "out")) == {f"m1_{name}" for name in FILES}


# ------------------------------------------------------------------------------ progress


def test_a_long_session_is_heard_of_where_there_is_no_terminal(capsys):
    with FrameProgress(n_sessions=2, seconds=0) as progress:
        progress.update("m1", 8192, 20_000)
        progress.update("m1", 20_000, 20_000)
        progress.line("m1.csv: 20000 frames")
    printed = capsys.readouterr()
    assert printed.err == "m1: 8192 of 20000 frames\n"
    assert printed.out == "m1.csv: 20000 frames\n"


def test_a_terminal_shows_a_bar_of_frames(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", screen)
    with FrameProgress(n_sessions=2) as progress:
        progress.update("m1", 30_000, 30_000)
        progress.update("m2", 10_000, 10_000)
    assert "40.0k/40.0k" in screen.getvalue()
