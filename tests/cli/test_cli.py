"""The command daart-fast."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import daart_fast.eval
from daart_fast import __version__
from daart_fast.cli import main
from daart_fast.cli.sessions import session_files
from daart_fast.config import KEYS
from daart_fast.experiment.stored import export_hparams
from daart_fast.models import Segmenter


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """An untrained model of two features, in a folder."""
    hparams = {
        "backbone": "dtcn",
        "input_size": 2,
        "output_size": 3,
        "n_hid_layers": 1,
        "n_hid_units": 4,
        "n_lags": 1,
        "activation": "lrelu",
        "lambda_strong": 1.0,
        "sequence_length": 20,
        "sequence_pad": 2,
        "input_names": ["a", "b"],
    }
    export_hparams(hparams, tmp_path / "model" / "hparams.yaml")
    Segmenter(hparams).save(tmp_path / "model" / "best_val_model.pt")
    return tmp_path / "model"


@pytest.fixture
def configs(tmp_path: Path) -> list[str]:
    """The arguments that name three config files; there are no data."""
    arguments = []
    for name in ("data", "model", "train"):
        text = f"data_dir: {tmp_path}\nresults_dir: out\nexpt_ids: [m1]\n" if name == "data" else ""
        (tmp_path / f"{name}.yaml").write_text(text)
        arguments += [f"--{name}_config", str(tmp_path / f"{name}.yaml")]
    return arguments


def write_session(path: Path, n_frames: int, names: str = ",a,b") -> Path:
    path.parent.mkdir(exist_ok=True)
    values = np.random.default_rng(0).standard_normal((n_frames, 2))
    rows = [names] + [f"{i},{x},{y}" for i, (x, y) in enumerate(values)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_info_tells_what_runs(capsys):
    assert main(["info"]) == 0
    assert "torch" in capsys.readouterr().out


def test_every_key_is_explained(capsys):
    assert main(["keys"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}: {key.help}" in out for name, key in KEYS.items())


def test_one_key_is_explained(capsys):
    assert main(["keys", "n_lags"]) == 0
    out = capsys.readouterr().out
    assert "half-width" in out and "at least 0; default 4" in out and "dropout" not in out


def test_an_unknown_key_gets_the_nearest_spelling(capsys):
    assert main(["keys", "n_lag"]) == 2
    assert "no key 'n_lag' (did you mean 'n_lags'?)" in capsys.readouterr().err


def test_new_sessions_are_predicted_each_to_its_own_file(model_dir, tmp_path, capsys):
    files = [str(write_session(tmp_path / f"new/s{n}.csv", n)) for n in (1, 57)]
    assert main(["predict", str(model_dir), *files, "--output_dir", str(tmp_path / "out")]) == 0
    for n in (1, 57):
        states = np.load(tmp_path / "out" / f"s{n}_states.npy")
        assert states.shape == (n, 3)
        np.testing.assert_allclose(states.sum(1), 1.0, atol=1e-5)
    assert "57 frames" in capsys.readouterr().out


def test_a_session_is_called_as_training_would_call_it(model_dir, tmp_path):
    file = write_session(tmp_path / "new" / "s_labeled.CSV", 9)
    assert main(["predict", str(model_dir), str(file), "--output_dir", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "s_states.npy").is_file()


def test_sessions_are_called_without_the_trackers_suffix(tmp_path, caplog):
    for name in ("mDLC_net_1.csv", "mDLC_net_1_filtered.csv", "mDLC_net_1_skeleton.csv"):
        (tmp_path / name).write_bytes(b"")
    assert session_files([tmp_path]) == {"m": tmp_path / "mDLC_net_1_filtered.csv"}
    assert "this file is read, and not mDLC_net_1.csv of the same session" in caplog.text


def test_two_files_of_one_name_are_refused_before_any_is_written(model_dir, tmp_path, capsys):
    files = [str(write_session(tmp_path / folder / "s.csv", 9)) for folder in ("one", "two")]
    assert main(["predict", str(model_dir), *files, "--output_dir", str(tmp_path / "out")]) == 2
    assert "one/s.csv is called 's' too" in capsys.readouterr().err


def test_of_several_files_of_one_session_the_first_kind_is_read(tmp_path, caplog):
    for name in ("s.h5", "s.csv", "t.npy", "t.h5"):
        (tmp_path / name).write_bytes(b"")
    assert session_files([tmp_path]) == {"s": tmp_path / "s.csv", "t": tmp_path / "t.h5"}
    assert caplog.messages == [
        f"{tmp_path / 't.h5'}: this file is read, and not t.npy of the same session"
    ]
    assert not (tmp_path / "out").exists()


def test_a_file_without_the_models_channels_is_refused(model_dir, tmp_path, capsys):
    file = write_session(tmp_path / "new" / "s.csv", 9, names=",a,c")
    assert main(["predict", str(model_dir), str(file), "--output_dir", str(tmp_path)]) == 2
    assert "channels that the model was trained on are missing: b" in capsys.readouterr().err


def test_a_folder_that_is_no_model_is_named(tmp_path, capsys):
    file = write_session(tmp_path / "new" / "s.csv", 9)
    assert main(["predict", str(tmp_path), str(file)]) == 2
    expected = f"{tmp_path}: expected a model (hparams.yaml and best_val_model.pt) in or below it"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "online"])
def test_of_a_folder_above_one_model_it_is_that_model(model_dir, tmp_path, command):
    file = write_session(tmp_path / "new" / "s.csv", 30)
    stats = ["--stats", str(file), "--mode", "delayed", "--input"] if command == "online" else []
    output = ["--output_dir", str(tmp_path / "out")] if command == "predict" else []
    assert main([command, str(model_dir.parent), *stats, str(file), *output]) == 0


def test_of_a_folder_above_two_models_both_are_named(model_dir, tmp_path, capsys):
    shutil.copytree(model_dir, tmp_path / "second")
    file = write_session(tmp_path / "new" / "s.csv", 9)
    assert main(["predict", str(tmp_path), str(file)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}: expected one model, found 2; name one of them: {model_dir}, " in error


def test_a_folder_that_is_not_there_gets_the_nearest_spelling(model_dir, tmp_path, capsys):
    file = write_session(tmp_path / "new" / "s.csv", 9)
    assert main(["predict", str(tmp_path / "modle"), str(file)]) == 2
    assert "modle: no such folder (did you mean 'model'?)" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "mew")]) == 2
    assert "(did you mean 'new'?)" in capsys.readouterr().err


def test_ctrl_c_says_which_sessions_are_done(model_dir, tmp_path, capsys, monkeypatch):
    files = [str(write_session(tmp_path / f"new/s{n}.csv", n)) for n in (9, 10)]
    write, written = daart_fast.eval.write_bouts, []

    def press(*arguments):
        write(*arguments)
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(daart_fast.eval, "write_bouts", press)
    command = ["predict", str(model_dir), *files, "--output_dir", str(tmp_path / "out")]
    assert main(command) == 130
    error = capsys.readouterr().err
    assert "stopped: 1 of 2 sessions are done; the same command goes on with the rest\n" in error
    assert main(command) == 0
    assert "1 sessions are done already" in capsys.readouterr().out


# ------------------------------------------------------------------------------ the command line


def test_the_version_is_printed_by_the_command_and_by_the_module(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"daart-fast {__version__}\n"
    command = [sys.executable, "-m", "daart_fast", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"daart-fast {__version__}\n"


@pytest.mark.parametrize("command", [[], ["predict"], ["train"]])
def test_help_is_a_command_too(command, capsys):
    outputs = []
    for arguments in (["help", *command], [*command, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and outputs[0].startswith("usage: daart-fast")


def test_help_explains_exit_codes_and_training_names_the_list_of_keys(capsys):
    for command, text in (([], "130  stopped with Ctrl-C"), (["train"], "daart-fast keys")):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["trian", "data"], "there is no command 'trian' (did you mean 'train'?); the commands"),
        (["help", "evalute"], "there is no command 'evalute' (did you mean 'evaluate'?)"),
        (["predict", "m", "f", "--outputdir", "x"], "--outputdir x (did you mean '--output_dir'?)"),
        (["report", "m", "--outptu=x"], "--outptu=x (did you mean '--output'?)"),
    ],
)
def test_a_slip_of_the_fingers_gets_the_nearest_spelling(arguments, text, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("daart-fast: error: ") and error.count("\n") == 1 and text in error


def test_a_value_is_refused_under_the_option_that_was_typed(configs, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", *configs, "--backbone", "tcn"])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("daart-fast: error: --backbone tcn: 'backbone' is 'tcn'")
    assert "(did you mean 'dtcn'?)" in error and "--set" not in error
