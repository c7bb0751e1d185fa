"""The command daart-fast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daart_fast.cli import main
from daart_fast.cli.sessions import session_files
from daart_fast.config import KEYS
from daart_fast.io import export_hparams
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
    assert "57 frames, 3 classes" in capsys.readouterr().out


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
    assert (
        "hparams.yaml: there is no such file; expected a model's folder" in capsys.readouterr().err
    )
