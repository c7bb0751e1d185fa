"""What `daart-fast train FOLDER` finds in a folder, and the config files that it writes there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daart_fast.cli import main
from daart_fast.cli.project import write_configs
from daart_fast.config import load_config
from daart_fast.data.sessions import signal_paths

FILES = ("data.yaml", "model.yaml", "train.yaml")


def write_project(folder: Path, *sessions: str) -> Path:
    """A folder of sessions with hand labels; nobody looks into the files here."""
    for kind in ("markers", "labels-hand"):
        (folder / kind).mkdir()
        for session in sessions:
            (folder / kind / f"{session}.csv").write_text("")
    return folder


def load(folder: Path) -> dict:
    return load_config(*(folder / name for name in FILES))


def test_the_config_files_of_a_folder_say_what_to_train_on(tmp_path):
    write_configs(write_project(tmp_path, "m1", "m2"))
    config = load(tmp_path)
    assert config["expt_ids"] == ["m1", "m2"]
    assert (config["data_dir"], config["results_dir"]) == (str(tmp_path), str(tmp_path / "results"))
    assert (config["backbone"], config["batch_size"]) == ("dtcn", 8)


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
@pytest.mark.parametrize(
    "session", ['a "b"', "it's", "2019_06_26", "1e5", "null", "yes", "#1", "Mäuse",
                "ab: c", "- a", "0x1f", "12:30:00", "x" * 120, "a  b"]
)  # fmt: skip
def test_a_session_may_have_any_name(tmp_path, session):
    write_configs(write_project(tmp_path, session))
    assert load(tmp_path)["expt_ids"] == [session]


def test_config_files_that_are_there_are_left(tmp_path):
    (write_project(tmp_path, "m1") / "model.yaml").write_text("backbone: gru\n")
    write_configs(tmp_path)
    assert (tmp_path / "model.yaml").read_text() == "backbone: gru\n"


def test_a_config_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fails_amid(path, text, **how):
        path.write_bytes(text[: len(text) // 2].encode())
        raise OSError("no space left on device")

    write_project(tmp_path, "m1", "m2")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fails_amid)
        with pytest.raises(OSError, match="no space"):
            write_configs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels-hand", "markers"]
    write_configs(tmp_path)
    assert load(tmp_path)["expt_ids"] == ["m1", "m2"]


@pytest.mark.parametrize("ending", [".csv", ".CSV", "_labels.csv", ".csv.gz", "_labels.CSV.GZ"])
def test_labels_are_found_as_training_finds_them(tmp_path, ending, capsys):
    write_project(tmp_path, "m1", "m2", "m3")
    (tmp_path / "labels-hand" / "m2.csv").rename(tmp_path / "labels-hand" / f"m2{ending}")
    (tmp_path / "labels-hand" / "m3.csv").unlink()
    write_configs(tmp_path)
    assert "2 of 3 sessions have hand labels; without: m3" in capsys.readouterr().out
    config = load(tmp_path)
    assert config["expt_ids"] == ["m1", "m2"]
    found = signal_paths(config, "m2")["labels_strong"]
    assert found == tmp_path / "labels-hand" / f"m2{ending}"


@pytest.mark.parametrize("ending", [".csv", ".CSV", "_labeled.csv", ".npy", ".analysis.h5"])
def test_sessions_are_found_as_training_finds_them(tmp_path, ending):
    write_project(tmp_path, "m1")
    (tmp_path / "markers" / "m1.csv").rename(tmp_path / "markers" / f"m1{ending}")
    (tmp_path / "markers" / "._m1.csv").write_text("what macOS leaves on other disks")
    write_configs(tmp_path)
    assert load(tmp_path)["expt_ids"] == ["m1"]


def test_a_folder_without_labels_is_told(tmp_path, capsys):
    (write_project(tmp_path, "m1") / "labels-hand" / "m1.csv").unlink()
    assert main(["train", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'labels-hand'}: expected labels of the sessions in markers/ (m1)" in error
    assert not (tmp_path / "data.yaml").exists()


def test_a_folder_without_markers_is_told(tmp_path, capsys):
    assert main(["train", str(tmp_path)]) == 2
    assert f"{tmp_path / 'markers'}: expected a folder of inputs" in capsys.readouterr().err


def test_a_folder_that_is_misspelt_is_not_made(tmp_path, capsys):
    assert main(["train", str(tmp_path / "dta")]) == 2
    assert f"{tmp_path / 'dta' / 'markers'}: expected a folder" in capsys.readouterr().err
    assert not (tmp_path / "dta").exists()


@pytest.mark.parametrize("arguments", [[], ["--fps", "30"], ["--fps", "30", "data"]])
def test_a_folder_comes_before_all_options(arguments, capsys):
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert "train: expected a data folder, before all options, or --data_config" in error
    assert f"found {' '.join(arguments) or 'nothing'} (" in error and error.count("\n") == 1


@pytest.mark.parametrize(("axes", "expected"), [("xyz", "markers"), ("xy", "features-kinematic")])
def test_a_new_project_of_points_in_space_reads_their_height(tmp_path, axes, expected):
    (tmp_path / "markers").mkdir()
    (tmp_path / "labels-hand").mkdir()
    head = f"scorer{',s' * len(axes)}\nbodyparts{',nose' * len(axes)}\ncoords,{','.join(axes)}\n"
    rows = "".join(f"{i}{f',{i}.5' * len(axes)}\n" for i in range(60))
    labels = "".join(f"{i},0,{int(i < 30)},{int(i >= 30)}\n" for i in range(60))
    (tmp_path / "markers" / "s.csv").write_text(head + rows)
    (tmp_path / "labels-hand" / "s.csv").write_text(",background,rear,stance\n" + labels)
    write_configs(tmp_path, {"data": tmp_path / "data.yaml"}, {"fps": 20.0}, hold_out=False)
    assert load_config(tmp_path / "data.yaml")["input_type"] == expected
