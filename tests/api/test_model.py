"""A finished model: loaded from its directory, used on new sessions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from daart_fast.api import Model
from daart_fast.backbones import BACKBONES
from daart_fast.errors import DataError
from daart_fast.experiment.stored import export_hparams
from daart_fast.models import Segmenter, predict_inputs

NAMES = ["speed", "angle", "height"]


@pytest.fixture
def model_dir(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a model directory with random weights."""

    def make(**changes: Any) -> Path:
        hparams = {
            "backbone": "dtcn",
            "input_size": 3,
            "output_size": 4,
            "n_hid_layers": 2,
            "n_hid_units": 5,
            "n_lags": 2,
            "activation": "lrelu",
            "sequence_length": 20,
            "sequence_pad": 12,
            "lambda_strong": 1,
            "input_names": NAMES,
            "class_weights": [0.0, 1.0, 2.0, 1.5],
            "rng_seed_model": 3,
            "data_dir": "/no/such/place",
            **changes,
        }
        folder = tmp_path / "model"
        export_hparams(hparams, folder / "hparams.yaml")
        Segmenter(hparams).save(folder / "best_val_model.pt")
        return folder

    return make


def session(n_frames: int = 50, n_channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal([5, -3, 100], 2, (n_frames, n_channels))


def write_csv(path: Path, values: np.ndarray, names: list[str] = NAMES) -> Path:
    rows = [f"{i}," + ",".join(map(repr, row)) for i, row in enumerate(values.tolist())]
    path.write_text("\n".join([",".join(["", *names]), *rows]))
    return path


def refused(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# --------------------------------------------------------------------- loading


def test_a_model_has_its_configuration_and_its_folder(model_dir):
    model = Model.from_dir(str(model_dir()))
    assert model.model_dir == model_dir()
    assert model.config["n_hid_units"] == 5 and model.config["input_names"] == NAMES
    assert not model.model.training


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("heads", [{}, {"lambda_weak": 1, "lambda_pred": 1, "lambda_recon": 1}])
def test_weights_are_read_back(model_dir, backbone, heads):
    folder = model_dir(backbone=backbone, **heads)
    stored = torch.load(folder / "best_val_model.pt", weights_only=True)
    loaded = Model.from_dir(folder).model.state_dict()
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], value) for name, value in stored.items())


def test_failure_11_annealing_that_daart_left_in_hparams_does_no_harm(model_dir):
    folder = model_dir(lambda_weak=1)
    hparams = yaml.safe_load((folder / "hparams.yaml").read_text())
    export_hparams({**hparams, "lambda_weak": 0}, folder / "hparams.yaml")
    assert "classifier_weak" in Model.from_dir(folder).model.model


def test_a_model_without_class_weights_is_loaded(model_dir):
    folder = model_dir(class_weights=None)
    hparams = yaml.safe_load((folder / "hparams.yaml").read_text())
    export_hparams({**hparams, "class_weights": [1.0] * 4}, folder / "hparams.yaml")
    assert Model.from_dir(folder).model.class_loss.weight is None


def test_weights_under_daarts_other_names_are_found(model_dir):
    folder = model_dir()
    (folder / "best_val_model.pt").rename(folder / "best_val_model_3.pt")
    assert Model.from_dir(folder).config["n_lags"] == 2


def test_the_old_name_of_backbone_is_understood(model_dir):
    folder = model_dir()
    text = (folder / "hparams.yaml").read_text().replace("backbone:", "model_type:")
    (folder / "hparams.yaml").write_text(text)
    assert Model.from_dir(folder).config["backbone"] == "dtcn"


def test_python_objects_in_hparams_are_read_without_making_any(model_dir):
    folder = model_dir()
    with open(folder / "hparams.yaml", "a") as file:
        file.write(yaml.dump({"pair": (1, 2), "rate": np.float64(0.5), "function": len}))
    config = Model.from_dir(folder).config
    assert (config["pair"], config["rate"], config["function"]) == ([1, 2], 0.5, None)


def test_a_model_from_a_machine_with_a_gpu_comes_on_what_is_there(model_dir):
    model = Model.from_dir(model_dir(device="cuda"))
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert next(model.model.parameters()).device.type == expected


def test_what_is_missing_is_named(model_dir, tmp_path):
    assert refused(Model.from_dir, tmp_path / "none") == (
        f"{tmp_path / 'none' / 'hparams.yaml'}: there is no such file; expected a model's folder "
        "(version_N)"
    )
    folder = model_dir()
    (folder / "best_val_model.pt").unlink()
    assert (
        refused(Model.from_dir, folder) == f"{folder}: there is no best_val_model.pt in this folder"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "expected a YAML file of keys and values: not valid YAML: "),
        ("- 1", "expected keys and values, got a list"),
        (
            "backbone: dtcn\nn_hid_layers: 2",
            "expected a value for input_size, output_size, n_hid_u",
        ),
        ("", "expected keys and values, got a NoneType"),
    ],
)
def test_hparams_that_say_too_little_are_refused(model_dir, text, said):
    path = model_dir() / "hparams.yaml"
    path.write_text(text)
    assert refused(Model.from_dir, path.parent).startswith(f"{path}: {said}")


def test_weights_of_which_one_byte_has_changed_are_refused(model_dir):
    path = model_dir() / "best_val_model.pt"
    weights = next(iter(torch.load(path, weights_only=True).values())).numpy().tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(weights)] ^= 1  # torch.load would take it
    path.write_bytes(data)
    said = refused(Model.from_dir, path.parent)
    assert said.startswith(f"{path}: expected a torch state dict; the checksum of its part ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activation": 2.0}, "'activation' is 2.0: expected one of linear, relu, "),
        ({"n_lags": None}, "expected a value for n_lags"),
        ({"n_lags": "four"}, "'n_lags' is 'four': expected a whole number"),
        ({"n_hid_layers": 2.5}, "'n_hid_layers' is 2.5: expected a whole number"),
        ({"output_size": "4"}, "'output_size' is '4': expected a number from 1 up"),
        ({"input_names": 3}, "'input_names' is 3: expected a list of names"),
    ],
)
def test_hparams_of_which_no_model_can_be_made_are_refused(model_dir, changes, said):
    path = model_dir() / "hparams.yaml"
    export_hparams({**yaml.safe_load(path.read_text()), **changes}, path)
    assert refused(Model.from_dir, path.parent).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    "changes", [{"n_hid_layers": 10**9}, {"n_hid_units": 10**9}, {"n_lags": 10**9}]
)
def test_hparams_of_a_model_larger_than_its_weights_take_no_memory(model_dir, changes):
    path = model_dir() / "hparams.yaml"
    export_hparams({**yaml.safe_load(path.read_text()), **changes}, path)
    said = refused(Model.from_dir, path.parent)
    assert said.startswith(f"{path.with_name('best_val_model.pt')}: the weights are too few for ")


def test_weights_of_other_settings_are_refused(model_dir):
    folder = model_dir()
    hparams = yaml.safe_load((folder / "hparams.yaml").read_text())
    export_hparams({**hparams, "n_hid_units": 6}, folder / "hparams.yaml")
    assert refused(Model.from_dir, folder).startswith(
        f"{folder / 'best_val_model.pt'}: the weights are those of a model with other settings: "
    )


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, 2))]
)
def test_code_in_weights_is_not_run(model_dir, tmp_path, save):
    folder = model_dir()
    save({"a": _Touches(tmp_path / "ran")}, folder / "best_val_model.pt")
    assert "expected a torch state dict" in refused(Model.from_dir, folder)
    assert not (tmp_path / "ran").exists()


def test_an_untrained_model_comes_from_hparams(model_dir):
    path = model_dir() / "hparams.yaml"
    from_file = Model.from_config(path)
    from_dict = Model.from_config(yaml.safe_load(path.read_text()))
    for model in (from_file, from_dict):
        assert model.model_dir is None
        assert model.predict(write_csv(path.parent / "s.csv", session())).shape == (50, 4)
    assert "expected a value for" in refused(Model.from_config, {"backbone": "dtcn"})


# --------------------------------------------------------------------- predicting


@pytest.mark.parametrize("n_frames", [1, 3, 20, 57])
def test_every_frame_of_a_new_session_is_predicted(model_dir, tmp_path, n_frames):
    values = session(n_frames)
    model = Model.from_dir(model_dir())
    states = model.predict(write_csv(tmp_path / "s.csv", values))
    assert states.shape == (n_frames, 4) and states.dtype == np.float32
    scale = np.where(values.std(0) > 0, values.std(0), 1)
    expected = predict_inputs(model.model, ((values - values.mean(0)) / scale).astype("f4"))
    np.testing.assert_allclose(states, expected["labels"], atol=1e-5)


def test_channels_are_put_into_order_by_their_names(model_dir, tmp_path):
    model, values = Model.from_dir(model_dir()), session()
    expected = model.predict(write_csv(tmp_path / "a.csv", values))
    shuffled = np.column_stack([values[:, 2], np.arange(50), values[:, 0], values[:, 1]])
    path = write_csv(tmp_path / "b.csv", shuffled, ["height", "more", "speed", "angle"])
    np.testing.assert_array_equal(model.predict(path), expected)


def test_missing_channels_are_named(model_dir, tmp_path):
    path = write_csv(tmp_path / "s.csv", session(), ["speed", "angel", "height"])
    assert refused(Model.from_dir(model_dir()).predict, path) == (
        f"{path}: 1 of the 3 channels that the model was trained on are missing: angle; the file "
        "has speed, angel, height (did you mean 'angel'?)"
    )
    assert refused(Model.from_dir(model_dir()).predict, path, sess_id="mouse1").startswith(
        f"session mouse1, {path}: 1 of the 3 channels"
    )


@pytest.mark.parametrize("sess_id", [None, "mouse1", "mouse.npy"])
@pytest.mark.parametrize("ending", [".npy", ".NPY"])
def test_channels_of_npy_come_as_they_are(model_dir, tmp_path, ending, sess_id):
    model, values = Model.from_dir(model_dir()), session()
    with open(tmp_path / f"s{ending}", "wb") as file:
        np.save(file, values.astype(np.float32))
    expected = model.predict(write_csv(tmp_path / "s.csv", values), sess_id=sess_id)
    found = model.predict(tmp_path / f"s{ending}", sess_id=sess_id)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("names", [None, ["channel_0", "channel_1", "channel_2"]])
def test_a_model_without_names_takes_channels_as_they_come(model_dir, tmp_path, names):
    named, values = Model.from_dir(model_dir()), session()
    expected = named.predict(write_csv(tmp_path / "s.csv", values))
    model = Model.from_dir(model_dir(input_names=names))
    found = model.predict(write_csv(tmp_path / "s.csv", values, ["x", "y", "z"]))
    np.testing.assert_array_equal(found, expected)


def test_without_names_the_number_of_channels_must_be_right(model_dir, tmp_path):
    model = Model.from_dir(model_dir(input_names=None))
    path = write_csv(tmp_path / "s.csv", session()[:, :2], ["a", "b"])
    assert refused(model.predict, path) == (
        f"{path}: the model was trained on 3 channels, the file has 2: a, b"
    )
    np.save(tmp_path / "s.npy", session()[:, :2])
    said = refused(Model.from_dir(model_dir()).predict, tmp_path / "s.npy")
    assert said.endswith(
        "the model was trained on 3 channels, the file has 2: channel_0, channel_1"
    )


def test_a_model_normalises_as_it_was_trained(model_dir, tmp_path):
    values = session()
    mean, std = values.mean(0) + 1, values.std(0) * 2
    folder = model_dir(normalization="train", input_mean=mean, input_std=std)
    model = Model.from_dir(folder)
    expected = predict_inputs(model.model, ((values - mean) / std).astype("f4"))["labels"]
    path = write_csv(tmp_path / "s.csv", values)
    np.testing.assert_allclose(model.predict(path), expected, atol=1e-5)
    for wrong in (None, [1.0]):
        model = Model.from_dir(model_dir(normalization="train", input_mean=mean, input_std=wrong))
        assert refused(model.predict, path) == (
            f"{folder / 'hparams.yaml'}: 'normalization' is 'train', which needs 'input_mean' and "
            "'input_std' of 3 channels"
        )


def test_unsure_points_are_missing_as_in_training(model_dir, tmp_path):
    text = "scorer,a,a,a\nbodyparts,p,p,p\ncoords,x,y,likelihood\n"
    rows = [f"{i},{i * i},{50 - i},{0.1 if i == 7 else 0.9}\n" for i in range(30)]
    unsure, without = tmp_path / "unsure.csv", tmp_path / "without.csv"
    unsure.write_text(text + "".join(rows))
    without.write_text(text + "".join([*rows[:7], "7,,,0.9\n", *rows[8:]]))
    settings = {"input_size": 2, "input_names": ["p_x", "p_y"]}
    model = Model.from_dir(model_dir(likelihood_threshold=0.5, **settings))
    np.testing.assert_array_equal(model.predict(unsure), model.predict(without))
    model = Model.from_dir(model_dir(**settings))
    assert not np.array_equal(model.predict(unsure), model.predict(without))


@pytest.mark.parametrize("name", ["out.npy", "new/folder/out", "s.states"])
def test_predictions_are_written(model_dir, tmp_path, name):
    model = Model.from_dir(model_dir())
    states = model.predict(write_csv(tmp_path / "s.csv", session()), str(tmp_path / name))
    written = tmp_path / (name if name.endswith(".npy") else name + ".npy")
    np.testing.assert_array_equal(np.load(written), states)


def test_a_file_that_is_not_there_is_named(model_dir, tmp_path):
    model = Model.from_dir(model_dir())
    assert refused(model.predict, tmp_path / "s.csv") == f"{tmp_path / 's.csv'}: no such file"


def test_predictions_do_not_replace_their_input(model_dir, tmp_path):
    model = Model.from_dir(model_dir())
    np.save(tmp_path / "x.npy", session())
    before = (tmp_path / "x.npy").read_bytes()
    for name in ("x.npy", "x"):
        said = refused(model.predict, tmp_path / "x.npy", output_file=tmp_path / name)
        assert said.startswith(f"{tmp_path / 'x.npy'}: expected an output that is no input")
    assert (tmp_path / "x.npy").read_bytes() == before
