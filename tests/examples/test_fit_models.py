"""The example script, from config files to finished model directories."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from daart_fast.api import Model
from daart_fast.backbones import BACKBONES
from daart_fast.demo import HELD_OUT
from daart_fast.eval import macro_f1
from daart_fast.models import Segmenter
from daart_fast.search.arguments import get_all_params

ROOT = Path(__file__).parents[2]
N_FRAMES = 5400

FINISHED = {
    "best_val_model.pt",
    "console.log",
    "curves.png",
    "hparams.yaml",
    "metrics.csv",
    "smoothing.json",
    "summary.json",
    "time_budget.csv",
}


def fit(arguments: list[str], *more: str) -> list[str]:
    """Run the script's function in this process; return the folders of its models."""
    spec = importlib.util.spec_from_file_location("fit_models", ROOT / "examples/fit_models.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    params = get_all_params("grid_search", [*arguments, *more])
    results = params.optimize_parallel_cpu(script.fit, nb_trials=None, nb_workers=1)
    return [folder for _, folder in results]


def read_hparams(folder: str | Path) -> dict[str, Any]:
    return yaml.safe_load((Path(folder) / "hparams.yaml").read_text())


# ------------------------------------------------------------------------------ the main job


@pytest.mark.slow
def test_without_arguments_it_fits_the_demo_set_and_beats_the_bar_on_a_session_held_out(
    run, tmp_path
):
    done = run()
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "demo/results/multi-0/dtcn/demo/version_0"
    endings = ("states.npy", "predictions.csv", "bouts.csv")
    sessions = {f"mouse{i}_{ending}" for i in range(1, 5) for ending in endings}
    shown = {"mouse4_minute.png", "report.html"}
    assert {path.name for path in folder.iterdir()} == FINISHED | sessions | shown
    truth = pd.read_csv(tmp_path / f"demo/data/labels-hand/{HELD_OUT}.csv", index_col=0)
    states = np.load(folder / f"{HELD_OUT}_states.npy")
    assert macro_f1(truth.to_numpy().argmax(1), states.argmax(1)) > 0.8
    assert "held-out videos (never trained on)\n  mouse4 " in done.stdout

    assert "validation loss has not fallen for 10 epochs; the weights of epoch" in done.stdout
    assert (folder / "mouse4_minute.png").stat().st_size > 10_000
    assert done.stdout.splitlines()[-1].startswith("next, with data of your own: daart-fast doctor")
    assert "WARNING" not in done.stderr

    again = run()
    assert again.returncode == 0
    assert f"this experiment is finished already; its model is in {folder}" in again.stdout
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]


# ------------------------------------------------------------------------------ what it leaves


@pytest.fixture
def fitted(configs) -> Path:
    (folder,) = fit(configs())
    return Path(folder)


@pytest.mark.slow
def test_failure_03_states_have_one_row_for_each_frame(fitted):
    for session in ("mouse1", "mouse2"):
        states = np.load(fitted / f"{session}_states.npy")
        assert states.shape == (N_FRAMES, 6) and states.dtype == np.float32
        np.testing.assert_allclose(states.sum(1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_the_folder_is_where_daart_would_have_it(fitted, tmp_path):
    assert fitted == tmp_path / "results/multi-0/dtcn/test/version_0"
    assert (tmp_path / "results/multi-0/expt_info.csv").read_text() == "expt\nmouse1\nmouse2\n"


@pytest.mark.slow
def test_hparams_tell_settings_and_what_came_of_them(fitted):
    hparams = read_hparams(fitted)
    assert hparams["training_completed"] is True
    assert hparams["n_lags"] == 2 and hparams["expt_ids"] == ["mouse1", "mouse2"]
    assert hparams["input_size"] == 16 and hparams["output_size"] == 6
    assert hparams["sequence_pad"] == 12
    assert hparams["input_names"][:2] == ["nose_x", "ear_x"]
    assert hparams["label_names"] == ["background", "still", "walk", "rear", "groom", "turn"]
    assert hparams["best_val_epoch"] in (1, 2)


@pytest.mark.slow
def test_the_model_predicts_a_session_it_has_not_seen(fitted, demo, tmp_path):
    model = Model.from_dir(fitted)
    states = model.predict(demo / "markers" / "mouse3.csv", tmp_path / "new.npy")
    assert states.shape == (N_FRAMES, 6)
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), states)


@pytest.mark.slow
def test_the_model_gives_back_the_states_it_left(fitted, demo):
    states = Model.from_dir(fitted).predict(demo / "markers" / "mouse1.csv")
    np.testing.assert_allclose(states, np.load(fitted / "mouse1_states.npy"), atol=1e-5)


@pytest.mark.slow
def test_the_weights_load_into_a_model_made_from_hparams(fitted):
    model = Segmenter(read_hparams(fitted))
    model.load_parameters_from_file(fitted / "best_val_model.pt")
    state = torch.load(fitted / "best_val_model.pt", weights_only=True)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.slow
def test_metrics_have_daarts_columns_and_a_row_for_each_epoch(fitted):
    table = pd.read_csv(fitted / "metrics.csv")
    assert {"epoch", "batch", "trial", "dataset", "best_val_epoch"} <= set(table.columns)
    assert {"tr_loss", "tr_loss_strong", "val_loss", "val_loss_strong"} <= set(table.columns)
    assert table[table["tr_loss"].notna()]["epoch"].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_the_log_tells_the_model_and_the_end(fitted):
    text = (fitted / "console.log").read_text()
    assert "convolutions: " in text or "native: cannot run" in text  # which kernels computed it
    assert "DTCN architecture" in text and "trained for 2 epochs" in text


@pytest.mark.slow
def test_failure_06_a_test_split_and_few_epochs_with_curves_finish(configs):
    (folder,) = fit(configs(), "--trial_splits", "4;1;1;0", "--max_epochs", "1")
    assert read_hparams(folder)["training_completed"] is True
    assert pd.read_csv(Path(folder) / "metrics.csv")["test_loss"].notna().any()
    assert (Path(folder) / "curves.png").stat().st_size > 0


# ------------------------------------------------------------------------------ searches, failures


@pytest.mark.slow
def test_a_list_is_searched_over_and_each_trial_has_a_folder(configs):
    folders = fit(configs(), "--n_lags", "[1, 2]", "--set", "dropout=[0, 0.5]", "--max_epochs=1")
    settings = {(read_hparams(f)["n_lags"], read_hparams(f)["dropout"]) for f in folders}
    assert settings == {(1, 0), (1, 0.5), (2, 0), (2, 0.5)}
    assert len(set(folders)) == 4


@pytest.mark.slow
def test_failure_01_a_trial_that_fails_shows_its_traceback_and_the_exit_code_is_1(
    configs, run, demo, tmp_path
):
    other = tmp_path / "other"
    other.mkdir()
    for folder in ("markers", "labels-hand"):
        (other / folder).symlink_to(demo / folder)
    (other / "labels-hand").unlink()  # the second trial's data have no labels
    arguments = configs(data_dir=[str(other), str(demo)])
    done = run(*arguments)
    assert done.returncode == 1
    assert "trial 1 of 2 failed" in done.stderr and "Traceback" in done.stderr
    assert "labels-hand: lambda_strong is 1, but no session has such a file" in done.stderr
    assert "the model is in" in done.stdout  # the other trial's


@pytest.mark.slow
def test_a_config_that_cannot_be_ends_before_any_data_is_read_with_exit_code_2(configs, run):
    done = run(*configs(backbone="tcn", data_dir="/nowhere"))
    assert done.returncode == 2
    assert "model.yaml, line 1: 'backbone' is 'tcn'" in done.stderr
    assert "did you mean 'dtcn'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_failure_14_a_second_run_goes_on_where_the_first_was_cut_short(configs, tmp_path):
    (folder,) = fit(configs())
    whole = torch.load(Path(folder) / "best_val_model.pt", weights_only=True)
    for name in ("hparams.yaml", "best_val_model.pt"):
        (Path(folder) / name).unlink()
    # as the first run leaves things when it is killed right after its start
    (started,) = fit(configs(), "--max_epochs", "2")
    again = torch.load(Path(started) / "best_val_model.pt", weights_only=True)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


# ------------------------------------------------------------------------------ daart's users


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"semi_supervised_algo": "pseudo_labels", "lambda_weak": 0.5, "lambda_pred": 0.5},
        {"variational": True, "lambda_recon": 0.5},
    ],
    ids=["hand labels", "semi-supervised", "variational"],
)
def test_each_backbone_learns_in_each_way(configs, backbone, settings):
    annealing = {"anneal_start": 0, "anneal_end": 1} if settings else {}
    (folder,) = fit(configs(backbone=backbone, expt_ids=["mouse1"], **settings, **annealing))
    states = np.load(Path(folder) / "mouse1_states.npy")
    assert states.shape == (N_FRAMES, 6) and np.isfinite(states).all()
    table = pd.read_csv(Path(folder) / "metrics.csv")
    for key, column in (("lambda_pred", "loss_pred"), ("lambda_recon", "loss_recon")):
        assert (f"tr_{column}" in table) == bool(settings.get(key))


DAARTS = {
    "data": """
input_type: markers
expt_ids:
  - mouse1
  - mouse2
expt_ids_to_keep:
  - mouse1
ignore_class: 0
weight_classes: true
data_dir: {demo}
results_dir: {results}
""",
    "model": """
model_class: segmenter
backbone: dtcn
n_hid_layers: 2
n_hid_units: 32
n_lags: 4
activation: lrelu
bidirectional: true
dropout: 0.1
classifier_type: multiclass
lambda_weak: 1
lambda_strong: 1
lambda_recon: 0
lambda_pred: 1
lambda_task: 0
tt_experiment_name: test
rng_seed_model: 0
variational: false
semi_supervised_algo: null
prob_threshold: 0.9
variance_threshold: 0.05
anneal_start: 25
anneal_end: 50
""",
    "train": """
learning_rate: 1e-4
sequence_length: 500
batch_size: 2
l2_reg: 0
min_epochs: 10
max_epochs: 12
val_check_interval: 1
enable_early_stop: true
early_stop_history: 5
save_last_model: false
train_frac: 1
trial_splits: '9;1;0;0'
rng_seed_train: 0
plot_train_curves: true
device: cpu
gpus_vis: '0;1'
tt_n_cpu_trials: 1000
tt_n_cpu_workers: 2
""",
}

#: What a lab that uses daart has, its imports changed.
DAART_SCRIPT = """
import os, sys
from daart_fast.io import export_hparams
from daart_fast.models import Segmenter
from daart_fast.testtube import (
    clean_tt_dir, create_tt_experiment, get_all_params, print_hparams)
from daart_fast.train import Trainer
from daart_fast.utils import build_data_generator, collect_callbacks

def run(args):
    hparams = vars(args)
    print_hparams(hparams)
    hparams, exp = create_tt_experiment(hparams)
    if hparams is None:
        return True
    data_gen = build_data_generator(hparams)
    model = Segmenter(hparams)
    model.to(hparams["device"])
    trainer = Trainer(**hparams, callbacks=collect_callbacks(hparams))
    trainer.fit(model, data_gen, save_path=hparams["tt_version_dir"])
    preds = model.predict_labels(data_gen)
    print(len(preds["labels"]), preds["labels"][0][0].shape)
    export_hparams(hparams)
    clean_tt_dir(hparams)
    return True

if __name__ == "__main__":
    hyperparams = get_all_params("grid_search")
    if hyperparams.device == "cpu":
        done = hyperparams.optimize_parallel_cpu(
            run, nb_trials=hyperparams.tt_n_cpu_trials, nb_workers=hyperparams.tt_n_cpu_workers)
    sys.exit(0 if all(result for _, result in done) else 1)
"""


@pytest.mark.slow
def test_daarts_configuration_and_script_run_as_they_are(run, demo, tmp_path):
    arguments = []
    for name, text in DAARTS.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.format(demo=demo, results=tmp_path / "results"))
        arguments += [f"--{name}_config", str(path)]
    script = tmp_path / "fit.py"
    script.write_text(DAART_SCRIPT)
    done = run(*arguments, script=script)
    assert done.returncode == 0, done.stderr
    assert "2 (500, 6)" in done.stdout
    folder = tmp_path / "results/multi-0/dtcn/test/version_0"
    columns = pd.read_csv(folder / "metrics.csv").columns
    assert {"tr_loss_weak", "val_loss_pred", "val_fc"} <= set(columns)
