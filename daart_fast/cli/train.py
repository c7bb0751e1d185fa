"""Train a model: the same as examples/fit_models.py, from config files or from a data folder alone.

With a folder, config files are written into it (data.yaml, model.yaml, train.yaml), unless they
are there, to train on every session that has hand labels; change them as you like. Every key can
be given on the command line too, as --key value ('daart-fast keys' lists them); a list is searched
over.

When training is done, the model is evaluated: see 'daart-fast evaluate --help'.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from daart_fast.errors import ConfigError, DataError, some
from daart_fast.files import replacing

HELP = "train a model, or search over settings, from config files or from a data folder"
EXAMPLES = """
  daart-fast train data
  daart-fast train data --fps 30 --input_type features-kinematic --expt_ids_test mouse9
  daart-fast train --data_config data.yaml --model_config model.yaml --train_config train.yaml
  daart-fast train data --n_lags "[2, 4, 8]"
"""

FILES = ("data", "model", "train")
#: what the config files begin with: settings, under the comments that explain them
SETTINGS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "data": [
        ("paths are taken from this file's folder", {"data_dir": ".", "results_dir": "results"}),
        ("the folder of inputs in data_dir", {"input_type": "markers"}),
        ("tracked points less sure than this are interpolated", {"likelihood_threshold": 0}),
    ],
    "model": [
        ("the network", {"backbone": "dtcn", "n_hid_layers": 2, "n_hid_units": 32, "n_lags": 4}),
    ],
    "train": [
        ("how fast it learns", {"learning_rate": 0.001, "sequence_length": 500, "batch_size": 8}),
        ("and how long", {"min_epochs": 10, "max_epochs": 100, "early_stop_history": 10}),
    ],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data_dir", nargs="?", help="the folder with markers/ and labels-hand/")
    for name in FILES:
        parser.add_argument(f"--{name}_config", metavar="YAML", help=f"the {name} settings")


def run(options: argparse.Namespace) -> int:
    """Train on what the command line says, which `get_all_params` reads key by key."""
    from daart_fast.cli.evaluate import evaluate
    from daart_fast.eval.printed import print_scores
    from daart_fast.search.fit import fit
    from daart_fast.testtube import get_all_params

    arguments = [word for word in options.arguments if word != "--debug"]
    if arguments and not arguments[0].startswith("-"):
        arguments = [*write_configs(Path(arguments[0])), *arguments[1:]]
    elif not any(word.startswith("--data_config") for word in arguments):
        raise ConfigError(
            f"train: expected a data folder, before all options, or --data_config, --model_config "
            f"and --train_config; found {' '.join(arguments) or 'nothing'} ('daart-fast train "
            f"--help' has examples)"
        )
    params = get_all_params("grid_search", args=arguments)
    results = params.optimize_parallel(fit)
    for _, folder in results:
        if folder is not None and not (Path(folder) / "summary.json").is_file():
            summary = evaluate(Path(folder), {})
            print(f"\n{folder}")
            print_scores(summary)
    return 1 if any(folder is None for _, folder in results) else 0


def write_configs(data_dir: Path) -> list[str]:
    """Write the config files of a data folder, where they are missing; return the options."""
    options = []
    for name in FILES:
        path = data_dir / f"{name}.yaml"
        if not path.exists():
            text = _text_of(name, data_dir)  # which refuses a folder that is none of data
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
        options += [f"--{name}_config", str(path)]
    return options


def _text_of(name: str, data_dir: Path) -> str:
    parts = list(SETTINGS[name])
    if name == "data":
        parts.append(("those that have hand labels", {"expt_ids": labelled_sessions(data_dir)}))
    head = "`daart-fast keys` lists every key that may stand here, with its meaning and default."
    return f"# {head}\n" + "".join(
        f"# {comment}\n{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}"
        for comment, settings in parts
    )


def labelled_sessions(data_dir: Path) -> list[str]:
    """Return the sessions in markers/ that have hand labels; tell of those that have none.

    Raises
    ------
    DataError
        there are no sessions, or none has hand labels
    """
    from daart_fast.data.sessions import session_ids, signal_paths

    project = {"data_dir": data_dir}
    ids = session_ids(project)
    labelled = [one for one in ids if signal_paths(project, one)["labels_strong"] is not None]
    without = [one for one in ids if one not in labelled]
    if not labelled:
        raise DataError(
            f"{data_dir / 'labels-hand'}: expected labels of the sessions in markers/ "
            f"({some(ids)}), found none"
        )
    told = f"; without: {some(without)}" if without else ""
    print(f"{len(labelled)} of {len(ids)} sessions have hand labels{told}")
    return labelled
