"""The command line and the config files -> test-tube's namespace, which makes the trials."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daart_fast.config import IDS, KEYS, Key, check_together, load_config, resolve_path
from daart_fast.demo import DEMO_DATA, write_demo
from daart_fast.errors import ConfigError, did_you_mean
from daart_fast.search.run import run_trials

__all__ = ["get_all_params"]

FILES = ("data", "model", "train")


def get_all_params(
    search_type: str = "grid_search",
    args: Sequence[str] | None = None,
    default_configs: Path | str | None = None,
) -> Any:
    """Read the command line and the three config files.

    A config that cannot be used ends the program with one sentence that says why.

    Parameters
    ----------
    search_type
        ``"grid_search"``: every combination of the values given as lists; ``"random_search"``:
        ``tt_n_cpu_trials`` combinations drawn at random.
    args
        The command line; ``sys.argv`` without the program's name if None.
    default_configs
        A folder with data.yaml, model.yaml and train.yaml, for those not named on the command line.

    Returns
    -------
    argparse.Namespace
        test-tube's: every key of the config files (a list of ids as one string joined by ``;``),
        with ``optimize_parallel_cpu(fn, nb_trials, nb_workers)`` and
        ``optimize_parallel_gpu(fn, gpu_ids)``, which run every trial and return
        ``[(trial, result), ...]``, the result None where the trial failed.
    """
    parser = _command_line(default_configs is None)
    options = parser.parse_args(args)
    try:
        configs = {name: _config_file(options, name, default_configs) for name in FILES}
        hparams = load_config(*configs.values(), overrides=_overrides(options))
        hparams |= {f"{name}_config": str(path) for name, path in configs.items()}
        namespace = _namespace(hparams, search_type)
        for trial in namespace.generate_trials(None if search_type == "grid_search" else 1):
            check_together(vars(trial))
    except ConfigError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    _write_demo_if_asked_for(hparams)
    return namespace


def _command_line(files_required: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Fit a model for each combination of the values that the config files list.",
        epilog="Every key of the config files can be given here too, as --key value.",
    )
    for name in FILES:
        parser.add_argument(
            f"--{name}_config", metavar="YAML", required=files_required, help=f"the {name} settings"
        )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a setting that replaces the files' (a list, as [1, 2], is searched over)",
    )
    parser.add_argument(
        "--no-resume",
        dest="set",
        action="append_const",
        const="resume=false",
        help="start over where a training was interrupted, instead of going on",
    )
    keys = parser.add_argument_group("settings")
    for name, key in KEYS.items():
        keys.add_argument(
            f"--{name}", metavar="VALUE", default=argparse.SUPPRESS, help=_help_of(key)
        )
    return parser


def _help_of(key: Key) -> str:
    return f"{key.help} ({key.wants})".replace("%", "%%")


def _config_file(
    options: argparse.Namespace, name: str, default_configs: Path | str | None
) -> Path:
    given = getattr(options, f"{name}_config")
    return Path(given) if given else Path(default_configs or "") / f"{name}.yaml"


def _overrides(options: argparse.Namespace) -> list[str]:
    given = [f"{name}={getattr(options, name)}" for name in KEYS if hasattr(options, name)]
    return given + options.set


def _namespace(hparams: dict[str, Any], search_type: str) -> Any:
    """Hand hparams to test-tube's parser, the lists among them to search over."""
    if search_type not in ("grid_search", "random_search"):
        hint = did_you_mean(search_type, ("grid_search", "random_search"))
        raise ConfigError(
            f"search_type must be grid_search or random_search, not {search_type!r}{hint}"
        )
    parser = _trial_parser()(strategy=search_type)
    for name, value in hparams.items():
        if name in KEYS and KEYS[name].kind is IDS:
            parser.add_argument(f"--{name}", default=";".join(value) if value else None)
        elif isinstance(value, list) and name in KEYS:
            parser.opt_list(f"--{name}", default=value[0], options=value, tunable=True)
        elif name in KEYS or name.endswith("_config"):
            parser.add_argument(f"--{name}", default=value)
    return parser.parse_args([])


def _trial_parser() -> Any:
    from test_tube import HyperOptArgumentParser

    class TrialParser(HyperOptArgumentParser):
        """test-tube's parser: it makes the trials; running them is ours.

        Its own pools fork a process that has threads, and sleep at random to keep two trials
        from taking one folder.
        """

        def optimize_parallel_cpu(
            self,
            train_function: Callable[..., Any],
            nb_trials: int | None = None,
            nb_workers: int = 1,
        ) -> list[tuple[Any, Any]]:
            return run_trials(train_function, self.generate_trials(nb_trials))

        def optimize_parallel_gpu(
            self,
            train_function: Callable[..., Any],
            gpu_ids: Sequence[str] | None = None,
            max_nb_trials: int | None = None,
        ) -> list[tuple[Any, Any]]:
            return run_trials(train_function, self.generate_trials(max_nb_trials))

    return TrialParser


def _write_demo_if_asked_for(hparams: dict[str, Any]) -> None:
    """Write the demo set where a config's data_dir is the place of the demo set."""
    place = str(resolve_path(DEMO_DATA, Path.cwd()))
    wanted = hparams["data_dir"]
    if place in (wanted if isinstance(wanted, list) else [wanted]) and not Path(place).exists():
        print(f"writing the demo set to {place}", file=sys.stderr)
        write_demo(place)
