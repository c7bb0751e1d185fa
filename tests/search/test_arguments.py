"""From the command line and the config files to trials."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daart_fast.errors import DataError
from daart_fast.search.arguments import get_all_params

DATA = "data_dir: data\nresults_dir: results\nexpt_ids: [a, b]\n"


@pytest.fixture
def configs(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that writes three config files and returns the arguments that name them."""

    def make(data: str = DATA, model: str = "n_lags: 2\n", train: str = "max_epochs: 3\n") -> Any:
        arguments = []
        for name, text in (("data", data), ("model", model), ("train", train)):
            (tmp_path / f"{name}.yaml").write_text(text)
            arguments += [f"--{name}_config", str(tmp_path / f"{name}.yaml")]
        return arguments

    return make


def refused(capsys: Any, *arguments: str, search_type: str = "grid_search") -> str:
    """The sentence with which the program ends."""
    with pytest.raises(SystemExit) as end:
        get_all_params(search_type, list(arguments))
    assert end.value.code == 2
    return capsys.readouterr().err


def test_all_keys_come_as_attributes_with_ids_joined(configs):
    params = get_all_params("grid_search", configs())
    assert params.expt_ids == "a;b"
    assert params.expt_ids_test is None
    assert (params.n_lags, params.max_epochs, params.learning_rate) == (2, 3, 1e-4)


def test_the_command_line_of_the_program_is_read(configs, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fit_models.py", *configs(model="n_lags: 5\n")])
    assert get_all_params("grid_search").n_lags == 5


@pytest.mark.slow
def test_paths_are_taken_from_the_config_files_folder(configs, tmp_path):
    assert get_all_params("grid_search", configs()).data_dir == str(tmp_path / "data")


def test_lists_are_searched_over(configs):
    params = get_all_params(
        "grid_search",
        [
            *configs("activation: relu\nweight_classes: [true, false]\n" + DATA),
            *("--set", "n_lags=[1, 2, 4]"),
        ],
    )
    seen = []
    results = params.optimize_parallel_cpu(
        lambda trial: seen.append((trial.n_lags, trial.weight_classes)) or len(seen), None, 1
    )
    assert sorted(seen) == [(n, w) for n in (1, 2, 4) for w in (False, True)]
    assert [result for _, result in results] == [1, 2, 3, 4, 5, 6]
    assert {trial.expt_ids for trial, _ in results} == {"a;b"}


def test_at_most_so_many_trials_are_tried(configs):
    params = get_all_params("grid_search", configs(model="n_lags: [1, 2, 4]\n"))
    assert len(params.optimize_parallel_cpu(lambda trial: 1, nb_trials=2, nb_workers=1)) == 2


def test_a_random_search_draws_different_combinations(configs):
    lists = "n_lags: [1, 2, 4]\nn_hid_units: [8, 16, 32]\n"
    params = get_all_params("random_search", configs(model=lists))
    results = params.optimize_parallel_cpu(lambda trial: 1, nb_trials=5, nb_workers=1)
    assert len({(trial.n_lags, trial.n_hid_units) for trial, _ in results}) == 5


def test_values_that_test_tubes_cluster_would_drop_are_kept(configs):
    params = get_all_params("grid_search", configs(model="dropout: [0, 0.5]\ncausal: false\n"))
    results = params.optimize_parallel_cpu(lambda trial: trial.dropout + 1, None, 1)
    assert [result for _, result in results] == [1.0, 1.5]
    assert results[0][0].causal is False and results[0][0].semi_supervised_algo is None


@pytest.mark.parametrize("arguments", [["--n_lags", "7"], ["--set", "n_lags=7"]])
def test_a_key_can_be_given_on_the_command_line(configs, arguments):
    assert get_all_params("grid_search", configs() + arguments).n_lags == 7


def test_no_resume_is_a_setting_too(configs):
    assert get_all_params("grid_search", [*configs(), "--no-resume"]).resume is False


def test_configs_not_named_come_from_a_folder(configs, tmp_path):
    configs()
    assert get_all_params("grid_search", [], default_configs=tmp_path).n_lags == 2


# ------------------------------------------------------------------------------ bad input


def test_an_unknown_key_is_named_with_its_file_and_the_nearest_spelling(configs, capsys):
    error = refused(capsys, *configs(model="n_lag: 2\n"))
    assert "model.yaml, line 1: there is no key 'n_lag' (did you mean 'n_lags'?)" in error


def test_an_unknown_option_is_refused(configs, capsys):
    error = refused(capsys, *configs(), "--n_lag", "2")
    assert "unrecognized arguments: --n_lag 2 (did you mean '--n_lags'?)" in error
    assert error.count("\n") == 1


def test_a_combination_that_cannot_be_is_refused_before_the_first_trial(configs, capsys):
    model = "n_hid_layers: [1, 0]\nbackbone: dtcn\n"
    error = refused(capsys, *configs(model=model))
    assert "model.yaml: 'n_hid_layers' is 0: backbone 'dtcn' needs 1 or more" in error


def test_a_config_that_is_missing_is_named(capsys, configs):
    arguments = configs()
    arguments[1] += "x"
    assert "data.yamlx: no such file" in refused(capsys, *arguments)


def test_all_three_configs_are_asked_for(capsys):
    assert "--data_config" in refused(capsys)


def test_an_unknown_search_type_is_refused(configs, capsys):
    error = refused(capsys, *configs(), search_type="gridsearch")
    assert "not 'gridsearch' (did you mean 'grid_search'?)" in error


# ------------------------------------------------------------------------------ of the search


@pytest.mark.parametrize(
    "setting", ["executor=[local, slurm]", "cv_folds=[2, 3]", "device=[cpu, cuda]"]
)
def test_what_is_about_the_whole_search_cannot_be_searched_over(configs, capsys, setting):
    error = refused(capsys, *configs(), "--set", setting)
    assert "it cannot be searched over" in error


@pytest.mark.slow
def test_a_gpu_may_be_named_beside_the_configs_that_come_along():
    folder = Path(__file__).parents[2] / "configs"
    files = [
        (f"--{name}_config", str(folder / f"{name}.yaml")) for name in ("data", "model", "train")
    ]
    arguments = [word for pair in files for word in pair]
    params = get_all_params("grid_search", [*arguments, "--device", "cuda:1"])
    assert str(params.gpus_vis) == "1"


@pytest.mark.parametrize(
    ("train", "gpus"),
    [
        ("device: cuda\n", ["0"]),
        ("device: cuda:1\n", ["1"]),
        ("device: cuda:1\ngpus_vis: 1\n", ["1"]),
        ("device: cuda\ngpus_vis: 1;2\n", ["1", "2"]),
    ],
)
def test_trials_run_on_the_gpus_that_are_asked_for(configs, monkeypatch, train, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    visible = []
    monkeypatch.setattr(
        "daart_fast.search.arguments.run_trials",
        lambda function, trials, places, options: visible.append(
            [place.environment["CUDA_VISIBLE_DEVICES"] for place in places]
        ),
    )
    params = get_all_params("grid_search", configs(train=train))
    params.search(print)
    parser = params.search.__self__
    parser.search_on_gpus(print, str(params.gpus_vis).split(";"), None)  # as daart's script does
    assert visible == [gpus, gpus]


def test_a_device_that_is_none_of_the_gpus_is_refused(configs, capsys):
    error = refused(capsys, *configs(train="device: cuda:1\ngpus_vis: 0\n"))
    assert "'device' is cuda:1, but 'gpus_vis' is 0: expected one of them, or the same" in error


def test_a_dry_run_ends_the_program_and_calls_no_function(configs, capsys):
    params = get_all_params("grid_search", [*configs(model="n_lags: [2, 4]\n"), "--dry_run"])
    with pytest.raises(SystemExit) as end:
        params.optimize_parallel_cpu(lambda trial: 1 / 0, None, 2)
    assert end.value.code == 0
    assert "trial 2: n_lags=4" in capsys.readouterr().out


def test_a_random_search_draws_the_same_trials_when_it_is_called_again(configs):
    lists = "n_lags: [1, 2, 4]\nn_hid_units: [8, 16, 32]\n"
    drawn = []
    for _ in range(2):
        params = get_all_params("random_search", configs(model=lists))
        results = params.optimize_parallel_cpu(lambda trial: 1, nb_trials=4, nb_workers=1)
        drawn.append([(trial.n_lags, trial.n_hid_units) for trial, _ in results])
    assert drawn[0] == drawn[1]


def test_what_the_user_can_mend_ends_a_lone_training_with_exit_code_2(configs, capsys):
    def fail(trial: Any) -> None:
        raise DataError("labels-hand/a.csv: expected 900 rows, got 899")

    params = get_all_params("grid_search", configs())
    with pytest.raises(SystemExit) as end:
        params.optimize_parallel_cpu(fail, None, 1)
    assert end.value.code == 2
    message = "daart-fast: error: labels-hand/a.csv: expected 900 rows, got 899\n"
    assert capsys.readouterr().err == message
    assert (
        params.optimize_parallel_cpu(lambda trial: 1 / 0, None, 1)[0][1] is None
    )  # a trial failed


def test_ctrl_c_ends_the_program_with_the_shells_exit_code(configs):
    def interrupt(trial: Any) -> None:
        raise KeyboardInterrupt

    params = get_all_params("grid_search", configs(model="n_lags: [2, 4]\n"))
    with pytest.raises(SystemExit) as end:
        params.optimize_parallel_cpu(interrupt, None, 2)
    assert end.value.code == 130


SLURM = """
slurm:
  partition: gpu
  time: 1:30:00
  memory: 500MB
  gpus: 1
  setup: [module load python]
"""


def test_the_slurm_part_is_read_as_slurm_reads_it(configs):
    parser = get_all_params("grid_search", configs(train=SLURM)).search.__self__
    assert parser.options.slurm == {
        "partition": "gpu", "time": 90, "memory": 500 / 1024, "gpus": 1,
        "setup": ["module load python"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("45", 45), ("0:30", 1), ("2:00:00", 120), ("1-0", 1440), ("1-12:30:00", 2190)],
)
def test_times_are_minutes_or_spelled_as_slurm_spells_them(configs, text, minutes):
    arguments = [*configs(), "--slurm", f"{{time: {text}}}"]
    parser = get_all_params("grid_search", arguments).search.__self__
    assert parser.options.slurm == {"time": minutes}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("{partiton: gpu}", "there is no 'partiton' in it (did you mean 'partition'?)"),
        ("{time: soon}", "'time' is 'soon': expected minutes, or a time as 2:30:00"),
        ("{gpus: -1}", "'gpus' is '-1': expected a whole number"),
        ("gpu", "'slurm' is 'gpu': expected a mapping with partition, time"),
    ],
)
def test_what_slurm_cannot_be_asked_for_is_refused(configs, capsys, part, message):
    assert message in refused(capsys, *configs(), "--slurm", part)
