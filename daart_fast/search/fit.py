"""From a trial to a finished model: what a search calls with each trial by default."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from daart_fast.eval import summarise
from daart_fast.eval.printed import print_scores
from daart_fast.experiment.claim import (
    all_settings,
    clean_tt_dir,
    console_log,
    create_tt_experiment,
    print_hparams,
)
from daart_fast.experiment.identity import find_experiment
from daart_fast.experiment.stored import export_hparams

__all__ = ["fit"]


def fit(trial: Any, *_: Any) -> str:
    """Fit one model, predict its sessions and score them. Each step is one call.

    Parameters
    ----------
    trial
        A namespace with every key of the config files.

    Returns
    -------
    str
        The version folder.
    """
    from daart_fast import ops
    from daart_fast.data.from_config import build_data_generator
    from daart_fast.models import Segmenter, export_states
    from daart_fast.train import Trainer
    from daart_fast.train.callbacks import collect_callbacks

    hparams, experiment = create_tt_experiment(vars(trial))
    if hparams is None or experiment is None:
        folder = find_experiment(vars(trial))[0]
        with suppress(OSError):  # a function that is not this one may have left no summary
            print_scores(json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8")))
        return folder
    print_hparams(hparams)
    folder = hparams["tt_version_dir"]
    with experiment, console_log(folder):
        logging.info(all_settings(hparams))
        data_generator = build_data_generator(hparams)
        model = Segmenter(hparams).to(hparams["device"])
        logging.info("%s\n%s\n%s", data_generator, model, ops.report())
        trainer = Trainer(**hparams, callbacks=collect_callbacks(hparams))
        trainer.fit(model, data_generator, save_path=folder)
        export_states(model, data_generator, folder)
        summary = summarise(hparams, data_generator, folder)
        export_hparams(hparams)
        clean_tt_dir(hparams)
    if trainer.ending:
        print(trainer.ending)
    print(f"the model is in {folder}")
    print_scores(summary)
    sys.stdout.flush()
    return folder
