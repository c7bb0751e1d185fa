"""What `daart-fast train FOLDER` does with sessions and options, on small real files."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daart_fast.cli import main
from daart_fast.config import load_config

FILES = ("data.yaml", "model.yaml", "train.yaml")
CLASSES = ["background", "rest", "walk"]
#: trainings that take a second
SHORT = shlex.split(
    "--max_epochs 2 --min_epochs 1 --sequence_length 50 --trial_splits 2;1;0;0 "
    "--n_hid_units 4 --n_hid_layers 1"
)

Lab = Callable[..., Path]


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    """A function that makes a folder of sessions: rest while the nose is on the left, else walk."""
    monkeypatch.chdir(tmp_path)

    def make(*sessions: str, labelled: int | None = None) -> Path:
        for kind in ("markers", "labels-hand"):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
        for number, session in enumerate(sessions):
            add_session(tmp_path / "data", session, number, labelled is None or number < labelled)
        return Path("data")

    return make


def add_session(folder: Path, session: str, seed: int, labelled: bool = True) -> None:
    draw = np.random.default_rng(seed)
    classes = np.repeat(draw.integers(1, 3, 15), 20)
    x = draw.normal(100, 20, 300) + 40 * classes
    points = np.stack([x, x[::-1]], axis=1).tolist()
    rows = [f"{i},{a!r},{b!r},0.9" for i, (a, b) in enumerate(points)]
    head = ["scorer,s,s,s", "bodyparts,nose,nose,nose", "coords,x,y,likelihood"]
    (folder / "markers" / f"{session}.csv").write_text("\n".join([*head, *rows]))
    if labelled:
        rows = [
            f"{i}," + ",".join(map(str, row)) for i, row in enumerate(np.eye(3, dtype=int)[classes])
        ]
        text = "\n".join(["," + ",".join(CLASSES), *rows])
        (folder / "labels-hand" / f"{session}.csv").write_text(text)


def config(folder: Path) -> dict:
    return load_config(*(folder / name for name in FILES))


def versions(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("version_*/hparams.yaml"))


def summary_of(version: Path) -> dict:
    return json.loads((version / "summary.json").read_text())


# ------------------------------------------------------------------------------ held-out videos


@pytest.mark.slow
def test_of_four_sessions_two_are_held_out_and_are_the_score(lab, capsys):
    folder = lab("m1", "m2", "m3", "m4")
    assert main(["train", str(folder), *SHORT]) == 0
    assert config(folder)["expt_ids"] == ["m1", "m2", "m3", "m4"]
    assert config(folder)["expt_ids_test"] == ["m1", "m3"]
    (version,) = versions(folder)
    test = summary_of(version)["scores"]["test"]
    assert (test["whole_sessions"], test["sessions"], test["frames"]) == (True, 2, 600)
    assert summary_of(version)["cautions"] == []
    out = capsys.readouterr().out
    assert "held out, to score the model on videos that it has not seen: m1, m3\n" in out
    spread = test["by_session"]["macro_f1"]
    assert f"held-out videos (never trained on)\n  m1 {' ' * 28}" in out.replace("m1  ", "m1 ", 1)
    assert f"mean {spread['mean']:.3f}, SD {spread['sd']:.3f}, lowest" in out
    assert "Read this first" not in out


@pytest.mark.slow
@pytest.mark.parametrize("session", ["m1", "m3"])
def test_a_count_of_the_held_out_frames_confirms_the_printed_score(lab, capsys, session):
    folder = lab("m1", "m2", "m3", "m4")
    main(["train", str(folder), *SHORT])
    (version,) = versions(folder)
    with open(version / f"{session}_predictions.csv", newline="") as file:
        predicted = [row["class"] for row in csv.DictReader(file)]
    with open(folder / "labels-hand" / f"{session}.csv", newline="") as file:
        _, *rows = csv.reader(file)
    true = [CLASSES[row[1:].index("1")] for row in rows]
    f1 = []
    for name in {*true, *predicted} - {"background"}:  # which nobody scores
        both = sum(t == p == name for t, p in zip(true, predicted, strict=True))
        f1.append(2 * both / (true.count(name) + predicted.count(name)))
    macro_f1 = sum(f1) / len(f1)
    printed = re.search(rf"^  {session} +300 +([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert float(printed[1]) == pytest.approx(macro_f1, abs=5e-4)
    assert summary_of(version)["sessions"][session]["scores"]["test"]["macro_f1"] == (
        pytest.approx(macro_f1)
    )


@pytest.mark.slow
def test_no_frame_of_a_held_out_session_is_trained_on(lab):
    folder = lab("m1", "m2", "m3", "m4")
    main(["train", str(folder), *SHORT])
    sessions = summary_of(versions(folder)[0])["sessions"]
    assert set(sessions["m1"]["scores"]) == set(sessions["m3"]["scores"]) == {"test"}
    assert set(sessions["m2"]["scores"]) == {"train", "val"}


@pytest.mark.slow
def test_no_hold_out_trains_on_all_and_says_that_there_is_no_score(lab, capsys):
    folder = lab("m1", "m2", "m3", "m4")
    assert main(["train", str(folder), "--no_hold_out", *SHORT]) == 0
    assert "expt_ids_test" not in (folder / "data.yaml").read_text()
    out = capsys.readouterr().out
    assert "pieces of training videos (used to choose when to stop: optimistic)" in out
    assert "Read this first:\n- no video was held out" in out


@pytest.mark.slow
def test_no_hold_out_holds_for_one_run_where_data_yaml_is_there(lab):
    folder = lab("m1", "m2", "m3", "m4")
    main(["train", str(folder), *SHORT])
    before = (folder / "data.yaml").read_bytes()
    assert main(["train", str(folder), "--no_hold_out"]) == 0
    assert (folder / "data.yaml").read_bytes() == before
    held_out, whole = versions(folder)
    assert set(summary_of(held_out)["scores"]) == {"train", "val", "test"}
    assert set(summary_of(whole)["scores"]) == {"train", "val"}


@pytest.mark.slow
def test_sessions_that_the_user_holds_out_are_those(lab):
    folder = lab("m1", "m2", "m3", "m4")
    assert main(["train", str(folder), "--expt_ids_test", "m4", *SHORT]) == 0
    assert config(folder)["expt_ids_test"] == ["m4"]
    assert config(folder)["expt_ids"] == ["m1", "m2", "m3", "m4"]


def test_both_ways_to_say_who_is_held_out_are_refused(lab, capsys):
    folder = lab("m1", "m2")
    assert main(["train", str(folder), "--no_hold_out", "--expt_ids_test", "m2"]) == 2
    assert "--no_hold_out and --expt_ids_test: expected one of them" in capsys.readouterr().err
    assert not (folder / "data.yaml").exists()


def next_commands(out: str) -> list[str]:
    return [
        line.strip() for line in out.split("What next:")[1].splitlines() if "daart-fast" in line
    ]


@pytest.mark.slow
def test_with_fewer_than_four_the_command_that_gives_a_score_is_offered_and_works(lab, capsys):
    folder = lab("m1", "m2", "m3")
    assert main(["train", str(folder), *SHORT]) == 0
    out = capsys.readouterr().out
    assert "Read this first:\n- no video was held out" in out
    command = next(line for line in next_commands(out) if line.startswith("daart-fast train"))
    assert command.startswith("daart-fast train data ")
    assert command.endswith(" --leave_one_session_out true")
    assert main(shlex.split(command)[1:]) == 0
    out = capsys.readouterr().out
    assert "leave-one-session-out, macro-F1 on held-out videos (never trained on)" in out
    scores = [
        float(re.search(rf"  {session}: ([\d.]+)\n", out)[1]) for session in ("m1", "m2", "m3")
    ]
    printed = re.search(r"all: mean ([\d.]+), SD ([\d.]+), lowest ([\d.]+), highest ([\d.]+)", out)
    found = [np.mean(scores), np.std(scores, ddof=1), min(scores), max(scores)]
    assert [float(figure) for figure in printed.groups()] == pytest.approx(found, abs=1e-3)
    assert "leave_one_session_out" not in (folder / "train.yaml").read_text()


@pytest.mark.slow
def test_one_labelled_session_alone_needs_a_second_one(lab, capsys):
    folder = lab("m1", "m2", labelled=1)
    assert main(["train", str(folder), *SHORT]) == 0
    out = capsys.readouterr().out
    assert "- only one video has hand labels" in out and "needs a second labelled video" in out
    assert not any("leave_one_session_out" in command for command in next_commands(out))


@pytest.mark.slow
def test_the_next_commands_work_as_they_are_printed(lab, capsys):
    folder = lab("m1", "m2", "m3", "m4")
    main(["train", str(folder), *SHORT])
    (folder.parent / "new_videos").mkdir()
    add_session(folder, "m5", 5, labelled=False)
    (folder / "markers" / "m5.csv").rename("new_videos/m5.csv")
    commands = next_commands(capsys.readouterr().out)
    assert [command.split()[1] for command in commands] == ["train", "report", "predict"]
    assert "--no_hold_out" in commands[0]
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
    assert Path("predictions/m5_predictions.csv").is_file()


# ------------------------------------------------------------------------------ options are kept


@pytest.mark.slow
def test_options_go_into_the_files_each_into_its_own(lab):
    folder = lab("m1", "m2")
    options = ["--fps", "30", "--normalization=train", "--n_lags", "[1, 2]", "--set", "dropout=0.2"]
    options += ["--batch_size", "4", "--results_dir", "elsewhere", "--expt_ids", "m2;m1"]
    assert main(["train", str(folder), *options, *SHORT]) == 0
    texts = {name: (folder / name).read_text() for name in FILES}
    assert "fps: 30\n" in texts["data.yaml"] and "normalization: train\n" in texts["data.yaml"]
    assert "n_lags:\n- 1\n- 2\n" in texts["model.yaml"] and "dropout: 0.2\n" in texts["model.yaml"]
    assert "batch_size: 4\n" in texts["train.yaml"]
    assert (
        texts["train.yaml"].count("max_epochs") == 1
        and "# how fast it learns" in texts["train.yaml"]
    )
    found = config(folder)
    assert found["expt_ids"] == ["m2", "m1"] and found["results_dir"] == str(
        Path("elsewhere").resolve()
    )


@pytest.mark.slow
def test_the_second_call_finds_the_first_ones_model(lab, capsys):
    folder = lab("m1", "m2", "m3", "m4")
    for options in (["--fps", "30", *SHORT], ["--fps", "30", *SHORT], []):
        assert main(["train", str(folder), *options]) == 0
    assert len(versions(folder)) == 1
    out = capsys.readouterr().out
    assert out.count("this experiment is finished already") == 2
    assert out.count("held-out videos (never trained on)") == 3  # its scores are shown again
    assert "this run only" not in out
    assert summary_of(versions(folder)[0])["unit"] == "seconds"


@pytest.mark.slow
def test_an_option_that_contradicts_a_file_holds_for_one_run_and_says_so(lab, capsys):
    folder = lab("m1", "m2")
    main(["train", str(folder), *SHORT])
    before = {name: (folder / name).read_bytes() for name in FILES}
    capsys.readouterr()
    main(["train", str(folder), "--n_hid_units", "3", "--dropout", "0.3", "--n_hid_layers", "1"])
    out = capsys.readouterr().out
    line = (folder / "model.yaml").read_text().splitlines().index("n_hid_units: 4") + 1
    assert (
        f"for this run only: --n_hid_units 3 (data/model.yaml, line {line}: n_hid_units is 4), "
        "--dropout 0.3 (by default dropout is 0.1)\n" in out
    )
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert len(versions(folder)) == 2


@pytest.mark.slow
def test_all_takes_sessions_that_were_labelled_later(lab, capsys):
    folder = lab("m1", "m2")
    main(["train", str(folder), *SHORT])
    lab("m3", "m4")
    before = (folder / "data.yaml").read_bytes()
    assert main(["train", str(folder), "--all"]) == 0
    assert sorted(summary_of(versions(folder)[1])["sessions"]) == ["m1", "m2", "m3", "m4"]
    assert (folder / "data.yaml").read_bytes() == before
    assert main(["train", str(folder), "--all", "--expt_ids", "m1"]) == 2
    assert "--all and --expt_ids: expected one of them" in capsys.readouterr().err


@pytest.mark.slow
def test_settings_of_read_only_data_lie_with_the_results(lab, monkeypatch, capsys):
    folder = lab("m1", "m2")
    before = sorted(folder.rglob("*"))
    access = os.access  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder and access(path, mode))
    assert main(["train", str(folder), *SHORT]) == 2
    assert "data: cannot be written to; --results_dir DIR says where" in capsys.readouterr().err
    assert main(["train", str(folder), "--results_dir", "out", *SHORT]) == 0
    assert sorted(folder.rglob("*")) == before
    assert len(versions(Path("out"))) == 1 and config(Path("out"))["data_dir"] == str(
        folder.resolve()
    )
    assert (
        main(["train", str(folder), "--results_dir", "out"]) == 0
    )  # finds the files and the model
    assert len(versions(Path("out"))) == 1


@pytest.mark.slow
def test_a_folder_of_features_and_labels_trains(lab):
    folder = lab("m1", "m2")
    (folder / "markers").rename(folder / "features")
    assert main(["train", str(folder), *SHORT]) == 0
    assert config(folder)["input_type"] == "features" and len(versions(folder)) == 1


@pytest.mark.slow
def test_a_frame_rate_that_is_given_later_is_added(lab, capsys):
    folder = lab("m1", "m2")
    main(["train", str(folder), *SHORT])
    before = (folder / "data.yaml").read_text()
    main(["train", str(folder), "--fps", "25"])
    assert "data/data.yaml: added fps: 25" in capsys.readouterr().out
    after = (folder / "data.yaml").read_text()
    assert after == before + "# frames a second, given on the command line\nfps: 25\n"
    main(["train", str(folder)])
    assert len(versions(folder)) == 2
    assert summary_of(versions(folder)[1])["fps"] == 25


def test_a_misspelt_option_writes_no_files(lab, capsys):
    folder = lab("m1", "m2")
    with pytest.raises(SystemExit):
        main(["train", str(folder), "--n_lag", "4"])
    assert "did you mean '--n_lags'" in capsys.readouterr().err
    assert not any((folder / name).exists() for name in FILES)


def test_another_data_folder_as_an_option_is_refused(lab, capsys):
    folder = lab("m1")
    assert main(["train", str(folder), "--data_dir", "other"]) == 2
    assert "expected one data folder, found data before it" in capsys.readouterr().err


# ------------------------------------------------------------------------------ frame rates


def write_record(folder: Path, **rates: float | None) -> None:
    """What convert-labels leaves beside its labels."""
    files = {
        f"{session}.csv": {
            "source": f"boris/{session}.csv", "format": "boris", "fps": rate, "frames": 300,
            "between_bouts": "other",
        }
        for session, rate in rates.items()
    }  # fmt: skip
    record = {"written_by": "daart-fast convert-labels", "between_bouts": "other", "files": files}
    (folder / "labels-hand" / "conversion.json").write_text(json.dumps(record))


@pytest.mark.slow
def test_the_frame_rate_of_the_labels_is_used_and_written(lab):
    folder = lab("m1", "m2")
    write_record(folder, m1=25.0, m2=None)
    main(["train", str(folder), *SHORT])
    text = (folder / "data.yaml").read_text()
    assert "# frames a second, as labels-hand/conversion.json says\nfps: 25\n" in text
    assert summary_of(versions(folder)[0])["fps"] == 25


@pytest.mark.slow
def test_the_frame_rate_of_the_labels_is_added_to_a_file_without_one(lab, capsys):
    folder = lab("m1", "m2")
    main(["train", str(folder), *SHORT])
    write_record(folder, m1=25.0)
    main(["train", str(folder)])
    assert "added fps: 25 (frames a second, as labels-hand/conv" in capsys.readouterr().out


@pytest.mark.slow
def test_a_frame_rate_that_contradicts_the_labels_is_an_error_with_both(lab, capsys):
    folder = lab("m1", "m2")
    write_record(folder, m1=25.0, m2=25.0)
    assert main(["train", str(folder), "--fps", "30", *SHORT]) == 2
    error = capsys.readouterr().err
    assert "--fps: 'fps' is 30, but the labels were made at 25 frames a second" in error
    assert "conversion.json" in error and "convert the labels again with --fps 30" in error
    assert not (folder / "data.yaml").exists()
    assert main(["train", str(folder), *SHORT]) == 0


@pytest.mark.slow
def test_a_file_that_contradicts_the_labels_is_an_error_with_its_line(lab, capsys):
    folder = lab("m1", "m2")
    main(["train", str(folder), "--fps", "30", *SHORT])
    write_record(folder, m1=25.0)
    assert main(["train", str(folder)]) == 2
    line = (folder / "data.yaml").read_text().splitlines().index("fps: 30") + 1
    assert f"data/data.yaml, line {line}: 'fps' is 30, but the labels" in capsys.readouterr().err


# ------------------------------------------------------------------------------ later sessions


@pytest.mark.slow
def test_sessions_that_are_labelled_later_are_named_with_the_line_to_change(lab, capsys):
    folder = lab("m1", "m2")
    main(["train", str(folder), *SHORT])
    lab("m1", "m2", "m3", "m4", labelled=3)
    capsys.readouterr()
    assert main(["train", str(folder)]) == 0
    out = capsys.readouterr().out
    line = (folder / "data.yaml").read_text().splitlines().index("expt_ids:") + 1
    assert (
        f"data/data.yaml, line {line}: 'expt_ids' leaves out sessions that have hand labels" in out
    )
    assert out.splitlines()[0].endswith("m3. To train on them, add them there, or give --all")
