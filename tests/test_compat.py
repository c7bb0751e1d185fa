"""Models that daart 1.2.0 has trained work as they did there."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from daart_fast.api import Model
from daart_fast.data.from_config import build_data_generator
from daart_fast.data.sequences import compute_sequence_pad
from daart_fast.models import Segmenter
from daart_fast.readers.feature_tables import load_feature_csv
from daart_fast.readers.inputs import read_inputs
from daart_fast.train.validation import evaluate

COMPAT = Path(__file__).resolve().parents[2] / "shared" / "compat"
MODELS = COMPAT / "models"
SESSIONS = ("user01_exp01", "user03_exp05")

pytestmark = pytest.mark.skipif(
    not MODELS.is_dir(), reason="no shared/compat beside the repository, which holds the models"
)

EVERY = ["dtcn", "dtcn_semi", "dtcn_variational", "gru", "lstm", "temporal-mlp"]
#: the variational model's states are one random sample of many
REPEATABLE = [name for name in EVERY if name != "dtcn_variational"]


def test_no_model_is_left_out():
    assert sorted(path.name for path in MODELS.iterdir()) == EVERY


@pytest.mark.parametrize("name", EVERY)
def test_weights_have_the_same_names_and_shapes(name):
    stored = torch.load(MODELS / name / "best_val_model.pt", weights_only=True)
    loaded = Model.from_dir(MODELS / name).model.state_dict()
    assert loaded.keys() == stored.keys()  # none missing, none left over
    for key, value in stored.items():
        assert torch.equal(loaded[key], value), key


@pytest.mark.parametrize("name", EVERY)
def test_a_model_made_from_hparams_alone_takes_the_weights(name):
    hparams = yaml.safe_load((MODELS / name / "hparams.yaml").read_text())
    model = Segmenter(hparams)
    model.load_parameters_from_file(MODELS / name / "best_val_model.pt")
    assert compute_sequence_pad(hparams) == hparams["sequence_pad"]


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("name", REPEATABLE)
def test_states_agree_in_every_row(name, session):
    theirs = np.load(MODELS / name / f"{session}_states.npy")
    inputs = COMPAT / "data" / "features" / f"{session}.csv"
    ours = Model.from_dir(MODELS / name).predict(inputs)
    assert ours.dtype == np.float32
    assert ours.shape == (len(load_feature_csv(inputs)[0]), 8)  # where daart drops the last 120
    assert theirs.shape == (5000, 8)
    difference = np.abs(ours[:5000] - theirs).max(1)
    assert difference.max() < 1e-4, f"worst in row {difference.argmax()}"


@pytest.mark.parametrize("name", REPEATABLE)
def test_validation_frames_are_those_of_daart(name):
    folder = MODELS / name
    model = Model.from_dir(folder)
    hparams = {**model.config, "data_dir": str(COMPAT / "data"), "cache_dir": "off"}
    best = hparams["best_val_epoch"]
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["epoch"] == str(best)]
    stored = {int(r["dataset"]): float(r["val_loss_strong"]) for r in rows if r["val_loss_strong"]}
    scores = evaluate(model.model, build_data_generator(hparams), "val")
    for session in (0, 1):
        assert scores[session]["loss_strong"] == pytest.approx(stored[session], abs=2e-5)


@pytest.mark.parametrize("session", SESSIONS)
def test_a_variational_models_states_are_one_sample_of_many(session):
    inputs = COMPAT / "data" / "features" / f"{session}.csv"
    model = Model.from_dir(MODELS / "dtcn_variational")
    assert np.array_equal(model.predict(inputs), model.predict(inputs))  # ours are the mean's

    values = read_inputs(inputs).values
    values = (values - values.mean(0)) / values.std(0)
    pad = model.config["sequence_pad"]
    generator = torch.Generator().manual_seed(0)

    def classes() -> np.ndarray:
        with torch.no_grad():
            output = model.model(torch.from_numpy(np.pad(values, ((pad, pad), (0, 0))))[None])
            noise = torch.randn(output["latent_mean"].shape, generator=generator)
            # daart takes the exponential of the log-variance for the standard deviation
            sample = output["latent_mean"] + noise * output["latent_logvar"].exp()
            return model.model.model["classifier"](sample)[0, pad : pad + 5000].argmax(1).numpy()

    theirs = np.load(MODELS / "dtcn_variational" / f"{session}_states.npy").argmax(1)
    one, other = classes(), classes()
    assert abs(np.mean(one == theirs) - np.mean(one == other)) < 0.03
