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
