"""The command line and the config files -> test-tube's namespace, which makes the trials."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from daart_fast.config import IDS, KEYS, Key, load_config, resolve_path
from daart_fast.demo import DEMO_DATA, write_demo
from daart_fast.errors import ConfigError, did_you_mean, print_error
from daart_fast.experiment.check_settings import check_together
from daart_fast.search.fit import fit
from daart_fast.search.local import slots_on_cpu, slots_on_gpus
from daart_fast.search.search import Options, Search, run_trials
from daart_fast.search.trials import folds

__all__ = ["fit_models", "get_all_params", "settings_of"]

FILES = ("data", "model", "train")

#: Keys that are about the search as a whole: a list of values makes no sense.
OF_THE_SEARCH = (
    "cv_folds", "device", "executor", "gpus_vis", "leave_one_session_out", "slurm",
    "trials_per_gpu", "tt_n_cpu_trials", "tt_n_cpu_workers",
)  # fmt: skip


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
        with ``optimize_parallel(fn)``, which runs every trial where the settings say (see
        `run_trials`) and returns ``[(trial, result), ...]``, the result None where the trial
        failed; daart's ``optimize_parallel_cpu(fn, nb_trials, nb_workers)`` and
        ``optimize_parallel_gpu(fn, gpu_ids)`` do the same on the workers or
        GPUs that they are given. The latter two call a function that is not `fit` with finished and
        failed trials again, as daart does.
        Ctrl-C ends the program with exit code 130.
    """
    parser = _command_line(default_configs is None)
    options = parser.parse_args(args)
    try:
        configs = {name: _config_file(options, name, default_configs) for name in FILES}
        hparams = load_config(*configs.values(), overrides=_overrides(options))
        hparams |= {f"{name}_config": str(path) for name, path in configs.items()}
        flags = {name: getattr(options, name) for name in ("dry_run", "retry_failed", "wait")}
        namespace = _namespace(hparams, search_type, flags)
    except ConfigError as error:
        print_error(error)
        parser.exit(2)
    if not options.dry_run:
        _write_demo_if_asked_for(hparams)
    return namespace


def settings_of(args: Sequence[str]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Read the settings and the names of config files on a command line.

    Parameters
    ----------
    args
        as `get_all_params` takes them

    Returns
    -------
    settings, files
        the settings by key, checked as in a config file; the files by data, model and train, where
        they are given

    Raises
    ------
    ConfigError
        a value cannot be used
    """
    options = _command_line(files_required=False).parse_args(args)
    overrides = _overrides(options)
    checked = load_config(overrides=overrides)
    names = [override.partition("=")[0].strip().removeprefix("--") for override in overrides]
    files = {name: getattr(options, f"{name}_config") for name in FILES}
    return (
        {name: checked[name] for name in names},
        {name: Path(path) for name, path in files.items() if path},
    )


def fit_models(
    configs: Mapping[str, Any] | Sequence[str | os.PathLike[str]],
    *,
    executor: str | None = None,
    function: Callable[..., Any] = fit,
    search_type: str = "grid_search",
    dry_run: bool = False,
    retry_failed: bool = False,
    wait: bool = True,
) -> Search:
    """Fit a model for each combination of settings: one where every setting is a single value.

    ``examples/fit_models.py`` does the same from the command line.

    Parameters
    ----------
    configs
        The config files, or a mapping of their keys; lists are searched over.
    executor
        ``"local"`` or ``"slurm"``, instead of what `configs` say.
    function
        Fits a trial and returns anything but None; to run in other processes it must be one that
        they can import.
    search_type
        ``"grid_search"`` or ``"random_search"``.
    dry_run, retry_failed, wait
        See `Options`.

    Returns
    -------
    Search
        What became of each trial, and the best of them.

    Raises
    ------
    ConfigError
        The settings cannot be used.
    KeyboardInterrupt
        Ctrl-C was pressed; the same call goes on.
    """
    changes = [] if executor is None else [f"executor={executor}"]
    if isinstance(configs, Mapping):
        # JSON is YAML: they are checked as if they stood in a file
        values = [
            f"{name}={json.dumps(value, default=str, ensure_ascii=False)}"
            for name, value in configs.items()
        ]
        hparams = load_config(overrides=values + changes)
        missing = [name for name, key in KEYS.items() if key.required and not hparams[name]]
        if missing:
            raise ConfigError(f"{missing[0]!r} is missing: {KEYS[missing[0]].help}")
    else:
        hparams = load_config(*configs, overrides=changes)
    flags = {"dry_run": dry_run, "retry_failed": retry_failed, "wait": wait}
    namespace = _namespace(hparams, search_type, flags)
    if not dry_run:
        _write_demo_if_asked_for(hparams)
    return namespace.search(function)


class _KeyParser(argparse.ArgumentParser):
    """A parser whose errors are one line; the usage, with every key, would hide them."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        hint = did_you_mean(unknown[1], self._option_string_actions) if unknown else ""
        print_error(f"{message}{hint}")
        self.exit(2)


def _command_line(files_required: bool) -> argparse.ArgumentParser:
    parser = _KeyParser(
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
    parser.add_argument(
        "--dry_run", action="store_true", help="print the trials and where each would go"
    )
    parser.add_argument(
        "--retry_failed",
        action="store_true",
        help="run failed trials again (where there is one trial, it always is)",
    )
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="executor slurm: wait for the jobs and show how they fare, instead of returning",
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
    given = [f"--{name}={getattr(options, name)}" for name in KEYS if hasattr(options, name)]
    return given + options.set


def _namespace(hparams: dict[str, Any], search_type: str, flags: Mapping[str, bool]) -> Any:
    """Hand hparams to test-tube's parser, the lists among them to search over."""
    if search_type not in ("grid_search", "random_search"):
        hint = did_you_mean(search_type, ("grid_search", "random_search"))
        raise ConfigError(
            f"search_type must be grid_search or random_search, not {search_type!r}{hint}"
        )
    for name in OF_THE_SEARCH:
        if isinstance(hparams[name], list):
            raise ConfigError(f"{name!r} is {hparams[name]}: it cannot be searched over")
    hparams["gpus_vis"] = _gpus_of(hparams)
    # the mapping is no hyperparameter, and test-tube takes none
    options = Options(hparams["executor"], hparams["slurm"] or {}, **flags)
    parser = _trial_parser()(strategy=search_type)
    parser.options, parser.hparams = options, hparams
    for name, value in hparams.items():
        if name in KEYS and KEYS[name].kind is IDS:
            parser.add_argument(f"--{name}", default=";".join(value) if value else None)
        elif isinstance(value, list) and name in KEYS:
            parser.opt_list(f"--{name}", default=value[0], options=value, tunable=True)
        elif (name in KEYS and name != "slurm") or name.endswith("_config"):
            parser.add_argument(f"--{name}", default=value)
    namespace = parser.parse_args([])
    # functions, so that they are left out where a script takes the namespace for hparams
    namespace.search, namespace.optimize_parallel = parser.search, parser.optimize_parallel
    for trial in folds(parser.make_trials(None if search_type == "grid_search" else 1)):
        check_together(vars(trial))
    return namespace


def _gpus_of(hparams: Mapping[str, Any]) -> int | str:
    """Return ``gpus_vis``, or the GPU that ``device`` names instead (``cuda:1``)."""
    device, given = hparams["device"], hparams["gpus_vis"]
    named = int(device.partition(":")[2] or 0)
    if given is None:
        return named
    if ":" in device and str(given) != str(named):
        raise ConfigError(
            f"'device' is {device}, but 'gpus_vis' is {given}: expected one of them, or the same "
            "GPU in both"
        )
    return given


def _trial_parser() -> Any:
    from test_tube import HyperOptArgumentParser

    class TrialParser(HyperOptArgumentParser):
        """test-tube's parser: it makes the trials; running them is ours.

        Its own pools fork a process that has threads, and sleep at random to keep two trials
        from taking one folder.
        """

        options: Options
        hparams: dict[str, Any]

        def make_trials(self, n_trials: int | None) -> list[Any]:
            """Make the trials; a random search draws the same ones when it is called again."""
            state = random.getstate()
            random.seed(0)
            try:
                return self.generate_trials(n_trials)
            finally:
                random.setstate(state)

        def search(self, function: Callable[..., Any]) -> Search:
            hparams = self.hparams
            if hparams["device"] == "cpu":
                return self.search_on_cpu(
                    function, hparams["tt_n_cpu_trials"], hparams["tt_n_cpu_workers"]
                )
            gpu_ids = str(hparams["gpus_vis"]).split(";")
            return self.search_on_gpus(function, gpu_ids, hparams["tt_n_cpu_trials"])

        def search_on_cpu(
            self, function: Callable[..., Any], n_trials: int | None, n_workers: int
        ) -> Search:
            trials = self.make_trials(n_trials)
            return run_trials(function, trials, slots_on_cpu(n_workers), self.options)

        def search_on_gpus(
            self, function: Callable[..., Any], gpu_ids: Sequence[str], n_trials: int | None
        ) -> Search:
            trials = self.make_trials(n_trials)
            for trial in trials:
                trial.device = "cuda"  # each process sees its own GPU alone
            slots = slots_on_gpus([str(gpu) for gpu in gpu_ids], self.hparams["trials_per_gpu"])
            return run_trials(function, trials, slots, self.options)

        def optimize_parallel(self, train_function: Callable[..., Any]) -> list[tuple[Any, Any]]:
            return _as_a_program(self.search, train_function).results

        def optimize_parallel_cpu(
            self,
            train_function: Callable[..., Any],
            nb_trials: int | None = None,
            nb_workers: int = 1,
        ) -> list[tuple[Any, Any]]:
            self.options = replace(self.options, skip_known=train_function is fit)
            return _as_a_program(self.search_on_cpu, train_function, nb_trials, nb_workers).results

        def optimize_parallel_gpu(
            self,
            train_function: Callable[..., Any],
            gpu_ids: Sequence[str] | str | None = None,
            max_nb_trials: int | None = None,
        ) -> list[tuple[Any, Any]]:
            chosen = str(self.hparams["gpus_vis"]) if gpu_ids is None else gpu_ids
            ids = chosen.split(";") if isinstance(chosen, str) else chosen
            self.options = replace(self.options, skip_known=train_function is fit)
            return _as_a_program(self.search_on_gpus, train_function, ids, max_nb_trials).results

    return TrialParser


def _as_a_program(search: Callable[..., Search], *arguments: Any) -> Search:
    """Run a search for a script: what ends it, ends the program without a traceback."""
    try:
        done = search(*arguments)
    except KeyboardInterrupt:
        sys.exit(130)  # as the shell has it
    except ConfigError as error:
        print_error(error)
        sys.exit(2)
    if done.options.dry_run:
        sys.exit(0)
    if len(done.jobs) == 1 and any(outcome.mendable for outcome in done.outcomes.values()):
        sys.exit(2)
    return done


def _write_demo_if_asked_for(hparams: dict[str, Any]) -> None:
    """Write the demo set where a config's data_dir is the place of the demo set."""
    place = str(resolve_path(DEMO_DATA, Path.cwd()))
    wanted = hparams["data_dir"]
    if place in (wanted if isinstance(wanted, list) else [wanted]) and not Path(place).exists():
        print(f"writing the demo set to {place}", file=sys.stderr)
        write_demo(place)
