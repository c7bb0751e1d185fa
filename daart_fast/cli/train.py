"""Train a model: the same as examples/fit_models.py, from config files or from a data folder.

With a folder, config files are written into it (data.yaml, model.yaml, train.yaml), unless they
are there, to train on every session that has hand labels. Of four or more sessions some are held
out whole, and the model is scored on them. Every key of 'daart-fast keys' can be given on the
command line too, as --key value (a list is searched over); it is written into the files with the
rest, and holds for one run where a file is there already. Change the files as you like.

At the end the scores are printed, and the next commands.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daart_fast.cli.evaluate import evaluate
from daart_fast.cli.project import every_session, prepare
from daart_fast.config import with_defaults
from daart_fast.errors import ConfigError
from daart_fast.machine import check_device

HELP = "train a model, or search over settings, from config files or from a data folder"
EXAMPLES = """
  daart-fast train data
  daart-fast train data --fps 30 --input_type features-kinematic --expt_ids_test mouse9
  daart-fast train data --leave_one_session_out true
  daart-fast train data --no_hold_out
  daart-fast train data --all
  daart-fast train data --online
  daart-fast train --data_config data.yaml --model_config model.yaml --train_config train.yaml
  daart-fast train data --n_lags "[2, 4, 8]"
"""

FILES = ("data", "model", "train")
HPARAMS, SUMMARY = "hparams.yaml", "summary.json"
NO_HOLD_OUT, ONLINE, ALL = "--no_hold_out", "--online", "--all"
#: what --online is short for: the model runs as frames come in, and is trained and scored so
FOR_ONLINE = {"causal": "true", "bidirectional": "false", "normalization": "train", "gaps": "hold"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data_dir", nargs="?", help="the folder with markers/ and labels-hand/")
    for name in FILES:
        parser.add_argument(f"--{name}_config", metavar="YAML", help=f"the {name} settings")
    parser.add_argument(
        NO_HOLD_OUT, action="store_true", help="train on every session; none is left for a score"
    )
    parser.add_argument(
        ALL, action="store_true", help="take labelled sessions too that data.yaml does not name"
    )
    settings = ", ".join(f"{name}: {value}" for name, value in FOR_ONLINE.items())
    parser.add_argument(
        ONLINE, action="store_true", help=f"make a model for 'daart-fast online' ({settings})"
    )


def run(options: argparse.Namespace) -> int:
    """Train on what the command line says, which `get_all_params` reads key by key."""
    from daart_fast.eval.printed import print_scores
    from daart_fast.search.arguments import get_all_params
    from daart_fast.search.fit import fit

    words = options.arguments
    params = get_all_params("grid_search", args=_arguments(words))
    results = params.optimize_parallel(fit)
    if any(folder is None for _, folder in results):
        return 1
    models = [Path(folder) for _, folder in results if (Path(folder) / HPARAMS).is_file()]
    for folder in models:  # those that daart trained have no scores
        if not (folder / SUMMARY).is_file():
            print(f"\n{folder}")
            print_scores(evaluate(folder, {}))
    if len(results) == len(models) == 1:
        _print_next(models[0], words)
    return 0


def _arguments(words: Sequence[str]) -> list[str]:
    """Return the arguments of `get_all_params`, having seen to the config files of a folder."""
    from daart_fast.search.arguments import settings_of

    hold_out = NO_HOLD_OUT not in words
    given = _with_online([word for word in words if word not in (NO_HOLD_OUT, ALL)])
    if not hold_out and any(word.startswith("--expt_ids_test") for word in given):
        raise ConfigError(f"{NO_HOLD_OUT} and --expt_ids_test: expected one of them")
    if ALL in words and any(word.split("=")[0] == "--expt_ids" for word in given):
        raise ConfigError(f"{ALL} and --expt_ids: expected one of them")
    if given and not given[0].startswith("-"):
        folder, given = Path(given[0]), given[1:]
        asked, files = settings_of(given)
        if asked.get("executor") != "slurm":  # config files would keep a device that is not here
            check_device({"device": with_defaults(asked)["device"]})
        place = _place_of_configs(folder, asked.get("results_dir"))
        paths = {name: files.get(name, place / f"{name}.yaml") for name in FILES}
        if ALL in words and paths["data"].exists():
            asked["expt_ids"] = every_session(folder, paths, asked)
            given.append(f"--expt_ids={';'.join(asked['expt_ids'])}")
        prepare(folder, paths, asked, hold_out)
        given = [*(f"--{name}_config={path}" for name, path in paths.items()), *given]
    elif not any(word.startswith("--data_config") for word in given):
        raise ConfigError(
            f"train: expected a data folder, before all options, or --data_config, --model_config "
            f"and --train_config; found {' '.join(words) or 'nothing'} ('daart-fast train "
            f"--help' has examples)"
        )
    return given if hold_out else [*given, "--expt_ids_test", "null"]


def _place_of_configs(folder: Path, results_dir: str | None) -> Path:
    """Return where config files are: with the data, or with the results if that is read-only."""
    if os.access(folder, os.W_OK) or (folder / "data.yaml").is_file() or not folder.is_dir():
        return folder
    if results_dir is None:
        raise ConfigError(
            f"{folder}: cannot be written to; --results_dir DIR says where settings and results go"
        )
    Path(results_dir).mkdir(parents=True, exist_ok=True)
    return Path(results_dir)


def _with_online(words: list[str]) -> list[str]:
    """Return a command line with the settings that --online is short for, where it is given."""
    if ONLINE not in words:
        return words
    for name, value in FOR_ONLINE.items():
        if any(word.split("=")[0] == f"--{name}" for word in words):
            raise ConfigError(f"--{name}: leave it out, since {ONLINE} sets {name}: {value}")
    settings = [f"--{name}={value}" for name, value in FOR_ONLINE.items()]
    return [*(word for word in words if word != ONLINE), *settings]


def _print_next(folder: Path, words: Sequence[str]) -> None:
    """Print the commands that come next, ready to copy."""
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    shown = os.path.relpath(folder)
    if len(shown) > len(str(folder)):
        shown = str(folder)
    report = ["report", shown]
    predict = ["predict", shown, "new_videos/", "--output_dir", "predictions"]
    online = ["online", shown]
    print("\nWhat next:")
    for purpose, command in [
        *_next_trainings(summary, words),
        ("look at scores, curves and ethograms", report),
        ("predict new videos (name their folder, or files)", predict),
        *([("answer frame by frame, as a tracker writes them", online)] if ONLINE in words else []),
    ]:
        print(f"  {purpose}:\n    {shlex.join(['daart-fast', *command])}")


def _next_trainings(summary: dict[str, Any], words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the training that would give a score, or the one that uses all videos."""
    command = ["train", *words]
    if summary["scores"].get("test", {}).get("whole_sessions"):
        whole = _without(command, "--expt_ids_test")
        purpose = "once settings are chosen, train on all videos"
        return [(purpose, [*whole, NO_HOLD_OUT])]
    labelled = [name for name, session in summary["sessions"].items() if session.get("scores")]
    if len(labelled) < 2 or NO_HOLD_OUT in words:
        return []
    purpose = f"score each of the {len(labelled)} videos by a model that has not seen it"
    return [(purpose, [*command, "--leave_one_session_out", "true"])]


def _without(words: Sequence[str], option: str) -> list[str]:
    """Return a command line without an option and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word.split("=")[0] != option:
            kept.append(word)
        skip = not skip and word == option
    return kept
