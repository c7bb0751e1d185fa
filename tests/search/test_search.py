"""Whole searches with real trainings: what is left, what is printed, and that nothing is lost."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daart_fast.config import load_config
from daart_fast.search import fit_models

pytestmark = pytest.mark.slow

SEARCH = """
import json, sys
from daart_fast.search import fit_models
if __name__ == "__main__":
    try:
        search = fit_models(json.loads(sys.argv[1]), **json.loads(sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if search.failed else 0)
"""

# long enough to be cut short, and then made shorter
LONG = {"n_lags": [1, 2], "max_epochs": 100_000}


@pytest.fixture
def search(script):
    """A function that starts a script which searches; what is given besides are options."""

    def start(settings: dict[str, Any], **options: Any) -> Any:
        return script(SEARCH, json.dumps(settings), json.dumps(options))

    return start


def versions(settings: dict[str, Any]) -> list[Path]:
    return sorted(Path(settings["results_dir"]).glob("*/*/test/version_*"))


def hparams(folder: str | Path) -> dict[str, Any]:
    return yaml.safe_load((Path(folder) / "hparams.yaml").read_text())


def table(settings: dict[str, Any], number: int = 0) -> list[dict[str, str]]:
    (path,) = Path(settings["results_dir"]).glob(
        f"*/searches/test/search_{number}/search_summary.csv"
    )
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def training_of_both(settings: dict[str, Any]) -> bool:
    """Whether two trials are past their second epoch."""
    logs = [folder / "metrics.csv" for folder in versions(settings)]
    return len(logs) == 2 and all(
        log.exists() and re.search(r"^[2-9],", log.read_text(), re.M) for log in logs
    )


def resumed(folder: Path) -> bool:
    return "going on in epoch" in (folder / "console.log").read_text()


# ------------------------------------------------------------------------------ the end


def test_a_search_leaves_models_a_summary_a_picture_and_names_the_best(settings, search, capsys):
    settings |= {"n_lags": [1, 2], "n_hid_units": [4, 8]}
    code, out, err = search(settings).finish()
    assert code == 0, err
    folders = versions(settings)
    assert [folder.name for folder in folders] == [f"version_{i}" for i in range(4)]
    assert all(hparams(folder)["training_completed"] for folder in folders)
    assert all((folder / "mouse1_states.npy").exists() for folder in folders)

    rows = table(settings)
    assert [(row["n_lags"], row["n_hid_units"]) for row in rows] == [
        ("1", "4"), ("2", "4"), ("1", "8"), ("2", "8")
    ]  # fmt: skip
    assert {row["status"] for row in rows} == {"finished"}
    for row in rows:
        stored = hparams(row["folder"])
        assert (stored["n_lags"], stored["n_hid_units"]) == (
            int(row["n_lags"]),
            int(row["n_hid_units"]),
        )
        summary = json.loads((Path(row["folder"]) / "summary.json").read_text())
        assert float(row["val_f1"]) == summary["scores"]["val"]["macro_f1"]
    best = max(rows, key=lambda row: float(row["val_f1"]))
    assert f"best: trial {best['trial']} (n_hid_units={best['n_hid_units']}" in out
    assert f"daart-fast predict {best['folder']} " in out
    assert next(Path(settings["results_dir"]).glob("*/searches/*/*/*.png")).stat().st_size > 0
    assert "trial 1 of 4 took" in err and "best validation loss" in err

    # the same search again has nothing to do
    assert [result for _, result in fit_models(settings).results] == [row["folder"] for row in rows]
    again = capsys.readouterr()
    assert "4 trials: 4 finished" in again.out and "starts" not in again.err
    assert versions(settings) == folders


def test_a_dry_run_prints_where_each_trial_would_go_and_writes_nothing(settings, capsys):
    settings |= {"n_lags": [1, 2], "dropout": [0, 0.5]}
    fit_models(settings, dry_run=True)
    out = capsys.readouterr().out
    assert "trial 3: n_lags=1, dropout=0.5" in out or "trial 2: n_lags=1, dropout=0.5" in out
    assert "new: " in out and "worker 1" in out and "4 trials; nothing was run" in out
    assert not Path(settings["results_dir"]).exists()


# ------------------------------------------------------------------------------ cut short


def test_ctrl_c_in_a_lone_training_says_that_its_checkpoint_is_kept(settings, search, wait_until):
    first = search(settings | {"max_epochs": 100_000})
    checkpoints = Path(settings["results_dir"])
    assert wait_until(lambda: list(checkpoints.rglob("checkpoint.pt")))
    first.interrupt()
    code, _, err = first.finish(timeout=40)
    (folder,) = versions(settings)
    assert code == 130 and "Traceback" not in err
    assert f"stopped: the same command goes on from the checkpoint in {folder}\n" in err


def test_ctrl_c_stops_the_workers_and_the_same_search_goes_on(settings, search, wait_until):
    first = search(settings | LONG)
    assert wait_until(lambda: training_of_both(settings))
    first.interrupt()
    code, _, err = first.finish(timeout=40)
    assert code == 130
    assert "stopped: 2 trials are left. The same command goes on with them" in err
    assert "Traceback" not in err and first.is_gone()
    assert all((folder / "checkpoint.pt").exists() for folder in versions(settings))
    assert [row["status"] for row in table(settings)] == ["interrupted"] * 2

    # its length may change; so the test needs not wait for 100,000 epochs
    for folder in versions(settings):
        stored = hparams(folder) | {"max_epochs": 2}
        (folder / "hparams.yaml").write_text(yaml.safe_dump(stored))
    code, out, err = search(settings | LONG | {"max_epochs": 2}).finish()
    assert code == 0 and "2 trials: 2 finished" in out, err
    assert len(versions(settings)) == 2 and all(map(resumed, versions(settings)))


def test_a_worker_killed_amid_its_trial_costs_no_other_and_is_resumed(settings, search, wait_until):
    settings |= {"max_epochs": [100_000, 2, 3]}
    first = search(settings)
    assert wait_until(lambda: long_trials_with_a_checkpoint(settings))
    (folder,) = long_trials_with_a_checkpoint(settings)
    os.kill(process_at_work_in(folder, first), signal.SIGKILL)
    code, out, err = first.finish()
    assert code == 1
    assert [row["status"] for row in table(settings)] == ["failed", "finished", "finished"]
    killed = table(settings)[0]
    assert Path(killed["folder"]) == folder and "signal 9 (SIGKILL)" in killed["error"]
    assert "trial 1 of 3 failed (max_epochs=100000): its process was killed by signal 9" in err
    assert "trial 1 (max_epochs=100000) failed" in out

    # its length may change; so the test needs not wait for 100,000 epochs
    stored = hparams(folder) | {"max_epochs": 1}
    (folder / "hparams.yaml").write_text(yaml.safe_dump(stored))
    second = fit_models(settings | {"max_epochs": [1, 2, 3]})
    assert second.failed == [] and len(versions(settings)) == 3
    assert second.results[0][1] == str(folder) and resumed(folder)


def long_trials_with_a_checkpoint(settings: dict[str, Any]) -> list[Path]:
    files = Path(settings["results_dir"]).glob("*/*/test/version_*/checkpoint.pt")
    return [file.parent for file in files if hparams(file.parent)["max_epochs"] > 1000]


def process_at_work_in(folder: Path, script: Any) -> int:
    """The worker that holds a version folder's lock."""
    for pid in script.processes():
        for file in Path(f"/proc/{pid}/fd").iterdir():
            if os.path.realpath(file) == str(folder / ".running"):
                return pid
    raise AssertionError(f"nobody is at work in {folder}")


def test_workers_of_a_search_that_is_killed_write_their_checkpoints_and_end(
    settings, search, wait_until
):
    first = search(settings | LONG)
    assert wait_until(lambda: training_of_both(settings))
    first.process.kill()
    assert first.is_gone()
    assert all((folder / "checkpoint.pt").exists() for folder in versions(settings))


# ------------------------------------------------------------------------------ failures


def test_a_trial_that_failed_is_run_again_only_if_that_is_asked_for(
    settings, demo, tmp_path, capsys
):
    data = tmp_path / "data"
    data.mkdir()
    for folder in ("markers", "labels-hand"):
        (data / folder).symlink_to(demo / folder)
    settings |= {"data_dir": str(data), "lambda_task": [0, 1]}  # the second needs tasks/

    first = fit_models(settings)
    assert first.failed == [2] and first.outcomes[1].status == "finished"
    captured = capsys.readouterr()
    log = first.folder / "trial_2.log"
    assert f"failed: {first.outcomes[2].error}" in captured.out and str(log) in captured.out
    assert "tasks: lambda_task is 1, but no session has such a file" in captured.err
    assert "--retry_failed" in captured.out and "Traceback" in log.read_text()
    # the traceback stays with the version, too
    assert "Traceback" in (Path(first.outcomes[2].folder) / "failed.txt").read_text()

    (data / "tasks").mkdir()
    rows = "".join(f"{frame},{frame % 7}\n" for frame in range(5400))
    (data / "tasks" / "mouse1.csv").write_text(",speed\n" + rows)
    second = fit_models(settings)
    assert second.failed == [2] and second.results[0][1] is not None
    assert "starts" not in capsys.readouterr().err
    third = fit_models(settings, retry_failed=True)
    assert third.failed == [] and len(versions(settings)) == 2
    assert not list(Path(settings["results_dir"]).glob("*/*/*/*/failed.txt"))


def test_a_lone_trial_that_failed_is_run_again_when_it_is_called_again(settings, demo, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "markers").symlink_to(demo / "markers")
    settings["data_dir"] = str(data)  # without labels
    assert fit_models(settings).failed == [1]
    assert not list(Path(settings["results_dir"]).rglob("version_*"))
    (data / "labels-hand").symlink_to(demo / "labels-hand")
    again = fit_models(settings)
    assert again.failed == []
    assert [Path(result).name for _, result in again.results] == ["version_0"]


# ------------------------------------------------------------------------------ several at once


RACE = """
import itertools, os, sys, time, zipfile
from argparse import Namespace
from pathlib import Path
from daart_fast.config import with_defaults
from daart_fast.io import export_hparams
from daart_fast.search import run_trials
from daart_fast.search.local import slots_on_cpu
from daart_fast.testtube import create_tt_experiment

def claim(trial):
    hparams, experiment = create_tt_experiment(vars(trial))
    if hparams is None:
        return "finished before"
    time.sleep(0.002)
    (experiment.folder / "owner").open("x").write(str(os.getpid()))
    zipfile.ZipFile(experiment.folder / "best_val_model.pt", "w").close()
    export_hparams({**hparams, "training_completed": True})
    experiment.close()
    return str(experiment.folder)

if __name__ == "__main__":
    results, go, who, n_rounds, pooled = sys.argv[1:]
    function = claim if pooled == "pooled" else lambda trial: claim(trial)
    for i in range(int(n_rounds)):
        Path(f"{go}_{i}_{who}").touch()
        while not Path(f"{go}_{i}_{'b' if who == 'a' else 'a'}").exists():
            time.sleep(0.0002)
        config = {"results_dir": f"{results}_{i}", "expt_ids": "s1;s2", "data_dir": "data"}
        trials = [Namespace(**with_defaults({**config, "n_lags": n})) for n in range(1, 5)]
        search = run_trials(function, trials, slots_on_cpu(2))
        assert not search.failed
"""


@pytest.mark.parametrize(("n_rounds", "pooled"), [(50, "here"), (2, "pooled")])
def test_failure_12_two_searches_started_at_once_share_no_folder_and_lose_none(
    script, tmp_path, n_rounds, pooled
):
    where = (str(tmp_path / "results"), str(tmp_path / "go"))
    both = [script(RACE, *where, who, str(n_rounds), pooled) for who in "ab"]
    for one in both:
        code, _, err = one.finish()
        assert code == 0, err
    for i in range(n_rounds):
        folders = sorted((tmp_path / f"results_{i}/multi-0/dtcn/test").iterdir())
        assert not (tmp_path / f"results_{i}/multi-1").exists()
        # each was claimed once (a second owner's open("x") would have failed), and is complete
        assert [folder.name for folder in folders] == [f"version_{n}" for n in range(len(folders))]
        assert {hparams(folder)["n_lags"] for folder in folders} == {1, 2, 3, 4}
        assert all((folder / "owner").exists() for folder in folders)
        assert 4 <= len(folders) <= 8


# ------------------------------------------------------------------------------ cross-validation


def test_cross_validation_holds_each_session_out_once_and_reports_mean_and_spread(
    settings, search, demo, tmp_path
):
    data = tmp_path / "data"
    (data / "markers").mkdir(parents=True)
    (data / "labels-hand").symlink_to(demo / "labels-hand")
    for session, source in (*((s, s) for s in ("mouse1", "mouse2", "mouse3")), ("new", "mouse1")):
        (file,) = (demo / "markers").glob(f"{source}.*")
        (data / "markers" / f"{session}{file.suffix}").symlink_to(file)
    settings |= {"expt_ids": ["mouse1", "mouse2", "mouse3", "new"], "data_dir": str(data)}
    settings |= {"leave_one_session_out": True}
    settings |= {"n_lags": [1, 2], "max_epochs": 1}
    code, out, err = search(settings).finish()
    assert code == 0, err
    rows = table(settings)
    assert [(row["n_lags"], row["fold"]) for row in rows] == [
        (n, fold) for n in "12" for fold in "012"
    ]
    assert "no hand labels in use (they train all the same): new\n" in err
    held_out = [hparams(row["folder"])["expt_ids_test"] for row in rows]
    assert held_out == [["mouse1"], ["mouse2"], ["mouse3"]] * 2
    assert len({Path(row["folder"]).parent for row in rows}) == 1
    load_config(Path(rows[0]["folder"]) / "hparams.yaml")  # a config of this one fold

    (path,) = Path(settings["results_dir"]).glob("*/searches/test/search_0/search_settings.csv")
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        scores = [float(row["test_f1"]) for row in rows if row["n_lags"] == line["n_lags"]]
        mean = sum(scores) / 3
        spread = (sum((score - mean) ** 2 for score in scores) / 2) ** 0.5
        assert float(line["mean"]) == pytest.approx(mean)
        assert float(line["spread"]) == pytest.approx(spread)
        assert f"n_lags={line['n_lags']}: " in out and line["folds"] == "3"
    assert "the best setting, trained on all of these videos: the same command with --n_lags" in out


# ------------------------------------------------------------------------------ the best


def scoring(folder: Path, *scores: float | None) -> Callable[[Any], str]:
    """A function that gives each trial's split and sessions the next score; with None it fails."""
    given = iter(scores)

    def score(trial: Any) -> str:
        own, f1 = folder / f"model {trial.search_trial}", next(given)
        if f1 is None:
            raise ValueError("no such luck")
        own.mkdir(parents=True)
        trial.tt_version_dir = str(own)
        scores = {split: {"macro_f1": f1} for split in ("val", "test")}
        sessions = {name: {"scores": scores} for name in trial.expt_ids.split(";")}
        (own / "hparams.yaml").write_text("best_val_epoch: 1\n")
        summary = {"scores": scores, "sessions": sessions if f1 else {}}
        (own / "summary.json").write_text(json.dumps(summary))
        return str(own)

    return score


def test_what_is_printed_can_be_pasted_into_a_shell(settings, tmp_path, capsys):
    best = fit_models(settings | {"n_lags": [1, 2]}, function=scoring(tmp_path, 0.5, 0.6)).best
    assert best.settings == {"n_lags": 2} and " " in best.folder
    assert f"predict with it: daart-fast predict '{best.folder}' NEW" in capsys.readouterr().out


def test_the_best_of_a_cross_validation_is_of_the_best_setting_with_all_folds(
    settings, tmp_path, capsys
):
    settings |= {"expt_ids": ["mouse1", "mouse2", "mouse3"], "leave_one_session_out": True}
    settings |= {"trial_splits": ["9;1;0;0", "8;1;0;0", "4;1;0;0"]}
    scores = [0.9, None, None, 0.95, 0.1, 0.2, 0.7, 0.8, 0.7]
    search = fit_models(settings, function=scoring(tmp_path, *scores))
    assert search.best.settings == {"trial_splits": "4;1;0;0", "search_fold": 1}
    out = capsys.readouterr().out
    assert "with fewer folds, and so not compared: trial_splits=9;1;0;0\n" in out
    assert "the same command with --trial_splits '4;1;0;0' --cv_folds null --leave" in out


def test_where_a_score_is_missing_the_trials_without_it_are_named(settings, tmp_path, capsys):
    settings |= {"expt_ids": ["mouse1", "mouse2", "mouse3"], "leave_one_session_out": True}
    search = fit_models(settings, function=scoring(tmp_path, 0.9, 0, 0.5))
    assert search.best is None
    out = capsys.readouterr().out
    assert "trials are not compared by test_f1: there is none of trial 2\n" in out
    assert "test_loss: no trial has any\nso none of them is named the best" in out


@pytest.mark.parametrize(("held_out", "said"), [({}, True), ({"expt_ids_val": ["mouse3"]}, False)])
def test_that_trials_were_scored_on_different_frames_is_said(
    settings, tmp_path, capsys, held_out, said
):
    settings |= {"sequence_length": [100, 250], **held_out}
    fit_models(settings, function=scoring(tmp_path, 0.5, 0.6))
    said_so = "with another sequence_length other frames were validated" in capsys.readouterr().out
    assert said_so == said


# ------------------------------------------------------------------------------ pruning


def test_a_bad_trial_is_stopped_and_the_best_is_not(settings):
    settings |= {"search_pruning": "median", "search_pruning_epochs": 2, "max_epochs": 6}
    settings |= {"learning_rate": [1e-2, 5e-3, 3e-3, 1e-7], "tt_n_cpu_workers": 1}
    search = fit_models(settings)
    rows = {row.settings["learning_rate"]: row.results for row in search.rows()}
    assert rows[1e-7]["epochs"] == rows[1e-7]["pruned_epoch"] == 2
    assert rows[1e-2]["epochs"] == 6 and rows[1e-2]["pruned_epoch"] is None
    assert search.failed == [] and search.best is not None
    assert hparams(search.rows()[3].folder)["pruned_epoch"] == 2


def test_a_trial_whose_loss_weighs_more_is_not_stopped_for_that(settings, capsys):
    settings |= {"search_pruning": "median", "search_pruning_epochs": 1, "max_epochs": 3}
    settings |= {"lambda_pred": [0, 0.01, 0.02, 5], "tt_n_cpu_workers": 1}
    assert [row.results["pruned_epoch"] for row in fit_models(settings).rows()] == [None] * 4
    err = capsys.readouterr().err
    assert "compares trials of the same lambda_pred: other losses do not compare. No trial" in err
