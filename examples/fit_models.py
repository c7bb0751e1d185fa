"""Fit a model for each combination of settings in three config files.

    python examples/fit_models.py
    python examples/fit_models.py --data_config D.yaml --model_config M.yaml --train_config T.yaml

Without config files it fits the ones in ``configs/``, on a small demo set that it writes first.
Copy this script and change it: each step is one call.
"""

import logging
import sys
from pathlib import Path

from daart_fast.eval import score_sessions, summarise
from daart_fast.io import export_hparams
from daart_fast.models import Segmenter, export_states
from daart_fast.testtube import (
    clean_tt_dir,
    console_log,
    create_tt_experiment,
    get_all_params,
    print_hparams,
)
from daart_fast.train import Trainer
from daart_fast.utils import build_data_generator, collect_callbacks

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def train_model(trial, *_):
    """Fit one model, predict its sessions, and return its folder."""
    hparams, experiment = create_tt_experiment(vars(trial))
    if hparams is None:
        return "finished before"
    print_hparams(hparams)
    folder = hparams["tt_version_dir"]
    with console_log(folder):
        data_generator = build_data_generator(hparams)
        model = Segmenter(hparams).to(hparams["device"])
        logging.info("%s\n%s", data_generator, model)
        trainer = Trainer(**hparams, callbacks=collect_callbacks(hparams))
        trainer.fit(model, data_generator, save_path=folder)

        export_states(model, data_generator, folder)
        summarise(hparams, data_generator, folder)
        scores = {split: score_sessions(data_generator, folder, split) for split in ("val", "test")}
        for session, score in scores["test"].items():
            print(f"macro-F1 on the held-out frames of {session}: {score:.3f}")
        export_hparams({**hparams, "macro_f1": scores})
        clean_tt_dir(hparams)
    experiment.close()
    print(f"the model is in {folder}", flush=True)
    return folder


if __name__ == "__main__":
    params = get_all_params("grid_search", default_configs=CONFIGS)
    if params.device == "cpu":
        results = params.optimize_parallel_cpu(
            train_model, nb_trials=params.tt_n_cpu_trials, nb_workers=params.tt_n_cpu_workers
        )
    else:
        results = params.optimize_parallel_gpu(train_model, gpu_ids=str(params.gpus_vis).split(";"))
    sys.exit(1 if any(result is None for _, result in results) else 0)
