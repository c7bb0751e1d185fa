"""Scripts that were written for daart, with the name in their imports changed."""

from __future__ import annotations

import pytest

#: As the script of daart: what goes wrong is returned, and None where all is well.
RETURNS_ITS_EXCEPTION = """
import sys
from daart_fast.io import export_hparams
from daart_fast.models import Segmenter
from daart_fast.testtube import clean_tt_dir, create_tt_experiment, get_all_params, print_hparams
from daart_fast.train import Trainer
from daart_fast.utils import build_data_generator, collect_callbacks

def run_main(hparams, *args):
    try:
        hparams = vars(hparams)
        hparams["expt_ids"] = hparams["expt_ids"].split(";")
        hparams, experiment = create_tt_experiment(hparams)
        if hparams is None:
            print("Experiment exists! Aborting fit")
            return
        print(print_hparams(hparams))
        if hparams["n_lags"] == 3:
            raise KeyError("of the script")
        data_gen = build_data_generator(hparams)
        model = Segmenter(hparams)
        trainer = Trainer(**hparams, callbacks=collect_callbacks(hparams))
        trainer.fit(model, data_gen, save_path=hparams["tt_version_dir"])
        hparams["training_completed"] = True
        export_hparams(hparams)
        clean_tt_dir(hparams)
    except Exception as error:
        return error

if __name__ == "__main__":
    params = get_all_params()
    results = params.optimize_parallel_cpu(
        run_main, nb_trials=params.tt_n_cpu_trials, nb_workers=params.tt_n_cpu_workers)
    sys.exit(any(result is not None for _, result in results))
"""


#: As the script of daart_utils: it splits the ids to keep, weighs classes and anneals by itself.
OF_DAART_UTILS = """
import numpy as np, os, sys, torch
from daart_fast.callbacks import AnnealHparam, EarlyStopping
from daart_fast.eval import plot_training_curves
from daart_fast.io import export_hparams
from daart_fast.models import Segmenter
from daart_fast.testtube import clean_tt_dir, create_tt_experiment, get_all_params, print_hparams
from daart_fast.train import Trainer
from daart_fast.utils import build_data_generator

def run_main(hparams, *args):
    hparams = vars(hparams)
    hparams["expt_ids"] = hparams["expt_ids"].split(";")
    hparams, exp = create_tt_experiment(hparams)
    if hparams is None:
        print("Experiment exists! Aborting fit")
        return
    assert "settings other than the defaults" in print_hparams(hparams)
    if "expt_ids_to_keep" not in hparams.keys():
        hparams["expt_ids_to_keep"] = hparams["expt_ids"]
    else:
        hparams["expt_ids_to_keep"] = hparams["expt_ids_to_keep"].split(";")
    data_gen = build_data_generator(hparams)
    totals = data_gen.count_class_examples()
    totals[hparams.get("ignore_class", 0)] = 0
    class_weights = np.max(totals) / (totals + 1e-10)
    class_weights[totals == 0] = 0
    hparams["class_weights"] = class_weights.tolist()
    hparams["rng_seed_model"] = hparams["rng_seed_train"]
    torch.manual_seed(hparams.get("rng_seed_model", 0))
    model = Segmenter(hparams)
    model.to(hparams["device"])
    callbacks = [EarlyStopping(patience=hparams["early_stop_history"])]
    callbacks.append(AnnealHparam(
        hparams=model.hparams, key="kl_weight", epoch_start=0, epoch_end=100))
    trainer = Trainer(**hparams, callbacks=callbacks)
    trainer.fit(model, data_gen, save_path=hparams["tt_version_dir"])
    plot_training_curves(
        os.path.join(hparams["tt_version_dir"], "metrics.csv"), dtype="train",
        expt_ids=hparams["expt_ids"],
        save_file=os.path.join(hparams["tt_version_dir"], "train_curves"), format="png")
    hparams["training_completed"] = True
    export_hparams(hparams)
    hparams["train_frac"] = 1.0
    for dataset, labels in zip(
            data_gen.datasets, model.predict_labels(build_data_generator(hparams))["labels"]):
        name = "%s_states.npy" % dataset.id
        np.save(os.path.join(hparams["tt_version_dir"], name), np.vstack(labels))
    clean_tt_dir(hparams)

if __name__ == "__main__":
    params = get_all_params()
    params.optimize_parallel_cpu(
        run_main, nb_trials=params.tt_n_cpu_trials, nb_workers=params.tt_n_cpu_workers)
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "fit_models_of_daart.py"
    file.write_text(RETURNS_ITS_EXCEPTION)
    return file


@pytest.mark.slow
def test_a_returned_exception_is_a_failed_trial(run, configs, script, tmp_path):
    done = run(*configs(n_lags=[1, 3], max_epochs=1), script=script)
    assert done.returncode == 1
    assert "1 failed" in done.stdout + done.stderr
    (failed,) = (tmp_path / "results").rglob("failed.txt")
    assert "KeyError: 'of the script'" in failed.read_text()
    assert "in run_main" in failed.read_text()


@pytest.mark.slow
def test_a_finished_search_ends_well_when_it_is_called_again(run, configs, script, tmp_path):
    arguments = configs(n_lags=[1, 2], max_epochs=1)
    assert run(*arguments, script=script).returncode == 0
    again = run(*arguments, script=script)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "results").rglob("best_val_model.pt"))) == 2


@pytest.mark.slow
def test_a_lone_trial_that_returns_its_exception_prints_the_traceback(run, configs, script):
    done = run(*configs(n_lags=3), script=script)
    assert done.returncode == 1
    assert "in run_main" in done.stderr and "KeyError: 'of the script'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kept", [None, ["mouse1"]])
def test_the_script_of_daart_utils_runs(run, configs, tmp_path, kept):
    script = tmp_path / "fit_models_of_daart_utils.py"
    script.write_text(OF_DAART_UTILS)
    arguments = configs(expt_ids_to_keep=kept, variational=True, max_epochs=1)
    done = run(*arguments, script=script)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "results").rglob("version_0")
    assert {"best_val_model.pt", "train_curves.png", "mouse1_states.npy"} <= {
        path.name for path in folder.iterdir()
    }
    again = run(*arguments, script=script)
    assert "Experiment exists! Aborting fit" in again.stdout
    assert len(list((tmp_path / "results").rglob("version_*"))) == 1
