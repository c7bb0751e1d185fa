"""Options that cannot be meant are refused before anything is read or written, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from daart_fast.cli import main

BOUTS = "class,start_frame,stop_frame\nwalk,1,3\nrear,3,4\n"


def refused(capsys, *arguments: str) -> str:
    """What is said of a command that is refused."""
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("daart-fast: error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("fps", ["nan", "inf", "-5", "0", "fast"])
@pytest.mark.parametrize(
    "command",
    [
        ["predict", "version_0", "m1.csv"],
        ["features", "m1.csv", "--output_dir", "out"],
        ["convert-labels", "m1.csv", "--output_dir", "out"],
        ["evaluate", "version_0"],
        ["online", "version_0"],
    ],
)
def test_a_frame_rate_is_a_number_above_0(command, fps, capsys):
    error = refused(capsys, *command, f"--fps={fps}")
    assert f"argument --fps: expected a number above 0, or null, got '{fps}'" in error


@pytest.mark.parametrize("number", ["-3", "0", "2.5", "many"])
@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("--n_frames", ["convert-labels", "m1.csv", "--output_dir", "out"]),
        ("--jobs", ["predict", "version_0", "m1.csv"]),
    ],
)
def test_numbers_of_things_begin_at_1(command, option, number, capsys):
    error = refused(capsys, *command, f"{option}={number}")
    assert f"argument {option}: expected a whole number from 1 up, got '{number}'" in error


@pytest.mark.parametrize("command", ["doctor data", "features m1.csv --output_dir out"])
def test_a_likelihood_is_no_larger_than_1(command, capsys):
    error = refused(capsys, *command.split(), "--likelihood_threshold=60")
    assert "expected a number at least 0, at most 1, got '60'" in error


@pytest.mark.parametrize("inside", ["", "/deeper"])
@pytest.mark.parametrize(
    "command", [["predict", "version_0", "m1.csv"], ["features", "m1.csv"], ["convert-labels", "m"]]
)
def test_an_output_folder_is_no_file(command, inside, tmp_path, capsys):
    (tmp_path / "out").write_text("a file where a folder should be")
    error = refused(capsys, *command, "--output_dir", f"{tmp_path}/out{inside}")
    assert f"argument --output_dir: expected a folder, found a file: {tmp_path}/out" in error


def test_an_option_that_is_missing_is_told_in_one_line(capsys):
    assert "--output_dir" in refused(capsys, "features", "m1.csv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--other", "background"], "--other: expected the name of a class, got 'background'"),
        (["--other", " "], "--other: expected the name of a class, got ' '"),
        (["--other", "still", "--multibinary"], "--other: with --multibinary"),
        (["--unscored", "--multibinary"], "--unscored: with --multibinary"),
        (["--unscored", "--other", "still"], "--other: not allowed with argument --unscored"),
        (["--classes", "walk", "rear", "walk"], "--classes: expected each class once, got walk"),
    ],
)
def test_classes_that_clash_are_refused(tmp_path: Path, options, words, capsys):
    (tmp_path / "m1.csv").write_text(BOUTS)
    command = ["convert-labels", str(tmp_path / "m1.csv"), "--n_frames", "9", "--output_dir"]
    assert words in refused(capsys, *command, str(tmp_path / "out"), *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("other", ["Walk", "Background"])
def test_two_spellings_of_a_class_are_refused_unless_they_are_chosen(tmp_path, other, capsys):
    (tmp_path / "m1.csv").write_text(f"{BOUTS}{other},5,6\n")
    command = ["convert-labels", str(tmp_path / "m1.csv"), "--n_frames", "9", "--output_dir"]
    error = refused(capsys, *command, str(tmp_path / "out"))
    assert "expected one spelling of each class, found" in error and f"{other} and" in error
    classes = ["--classes", "walk", other]
    assert main([*command, str(tmp_path / "out"), "--unscored", *classes]) == 0
