"""A search on a real Slurm: slurmctld, slurmd and munged on this host, for this test."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from daart_fast.demo import write_demo

ONE_HOST = Path(__file__).with_name("one_host.sh")

SEARCH = """
import json, sys
from daart_fast.search import fit_models
if __name__ == "__main__":
    search = fit_models(json.loads(sys.argv[1]), **json.loads(sys.argv[2]))
    print([outcome.status for _, outcome in sorted(search.outcomes.items())])
    sys.exit(1 if search.failed else 0)
"""


def why_not() -> str:
    """Return why Slurm cannot be started here; empty if it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "Slurm's daemons are started as root, which this is not"
    missing = [
        command for command in ("slurmctld", "slurmd", "munged") if shutil.which(command) is None
    ]
    if missing:
        return f"{', '.join(missing)}: not installed (apt-get install slurm-wlm munge)"
    return ""


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """An environment in which sbatch and squeue find a Slurm that lasts as long as the tests."""
    if reason := why_not():
        pytest.skip(reason)
    pytest.importorskip("submitit", reason="submitit is not installed (the extra 'slurm')")
    folder = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")  # a socket's path must be short
    started = subprocess.run([ONE_HOST, "start", folder], capture_output=True, text=True)
    if started.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"Slurm does not start on this host: {started.stderr.strip()}")
    yield {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"}
    subprocess.run([ONE_HOST, "stop", folder], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "data_dir": str(write_demo(tmp_path / "data")),
        "results_dir": str(tmp_path / "results"),
        "expt_ids": ["mouse1"],
        "n_hid_units": 4,
        "n_lags": 1,
        "sequence_length": 250,
        "batch_size": 8,
        "min_epochs": 1,
        "enable_early_stop": False,
        "plot_train_curves": False,
        "executor": "slurm",
        "slurm": {"partition": "main", "time": 30, "setup": ["export GREETING=hello"]},
    }


@pytest.fixture
def search(slurm: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """A function that starts a script which searches."""
    file = tmp_path / "script.py"
    file.write_text(SEARCH)

    def start(settings: dict[str, Any], **options: Any) -> subprocess.Popen:
        arguments = [sys.executable, str(file), json.dumps(settings), json.dumps(options)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(arguments, env=slurm, text=True, **pipes)

    return start


def ask(slurm: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=slurm, capture_output=True, text=True, check=True)
    return done.stdout


def wait_until(condition: Callable[[], Any], within: float = 120) -> Any:
    end = time.monotonic() + within
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return held


@contextmanager
def no_job_starts(slurm: dict[str, str]) -> Iterator[None]:
    """Keep what is submitted meanwhile in the queue."""
    node = ask(slurm, "sinfo", "--noheader", "--format=%n").strip()
    ask(slurm, "scontrol", "update", f"nodename={node}", "state=drain", "reason=a test")
    yield
    ask(slurm, "scontrol", "update", f"nodename={node}", "state=resume")


def in_epoch(settings: dict[str, Any], max_epochs: int, epoch: int) -> bool:
    """Whether the trial with so many epochs is past an epoch."""
    for log in Path(settings["results_dir"]).glob("*/*/test/version_*/metrics.csv"):
        stored = yaml.safe_load((log.parent / "hparams.yaml").read_text())
        if stored["max_epochs"] == max_epochs:
            return any(int(n) >= epoch for n in re.findall(r"^(\d+),", log.read_text(), re.M))
    return False


@pytest.mark.slow
def test_six_trials_are_one_job_array_and_one_that_is_requeued_goes_on(slurm, settings, search):
    long = 400
    settings |= {"max_epochs": [long, 1, 2, 3, 4, 5]}
    started = search(settings)
    assert wait_until(lambda: in_epoch(settings, long, 20))
    jobs = ask(slurm, "squeue", "--noheader", "--array", "--format=%i").split()
    (array,) = {job.split("_")[0] for job in jobs}  # all are one
    ask(slurm, "scontrol", "requeue", f"{array}_0")  # cancels it, and puts it back
    out, err = started.communicate(timeout=240)
    assert started.returncode == 0, err
    assert "6 trials: 6 finished" in out and "['finished'" in out
    assert f"trial 1 of 6 starts on job {array}_0 (max_epochs={long})" in err

    folders = sorted(Path(settings["results_dir"]).glob("*/*/test/version_*"))
    assert [folder.name for folder in folders] == [f"version_{i}" for i in range(6)]
    stored = {folder: yaml.safe_load((folder / "hparams.yaml").read_text()) for folder in folders}
    assert all(hparams["training_completed"] for hparams in stored.values())
    assert {hparams["max_epochs"] for hparams in stored.values()} == {long, 1, 2, 3, 4, 5}
    (resumed,) = [folder for folder in folders if stored[folder]["max_epochs"] == long]
    log = (resumed / "console.log").read_text()
    assert log.count("going on in epoch") == 1 and f"trained for {long} epochs" in log
    rows = (resumed / "metrics.csv").read_text().splitlines()
    epochs = [int(row.split(",")[0]) for row in rows[1:] if row.split(",")[5]]
    assert epochs == list(range(long + 1))  # none twice, none missing

    with open(next(Path(settings["results_dir"]).glob("*/searches/*/*/*.csv"))) as file:
        assert {row["place"] for row in csv.DictReader(file)} == {
            f"job {array}_{i}" for i in range(6)
        }
    batch = next(Path(settings["results_dir"]).glob("*/searches/*/*/jobs/*.sh")).read_text()
    assert "#SBATCH --array=0-5%6" in batch and "#SBATCH --requeue" in batch
    assert "#SBATCH --partition=main" in batch and "#SBATCH --time=30" in batch
    assert "export GREETING=hello" in batch


@pytest.mark.slow
def test_trials_in_the_queue_are_not_submitted_again_and_can_be_waited_for(slurm, settings, search):
    settings |= {"max_epochs": 2, "n_lags": [1, 2]}
    with no_job_starts(slurm):
        out, err = search(settings, wait=False).communicate(timeout=120)
        assert "2 trials: 2 submitted" in out and "not submitted again" not in err, err
        settings["n_lags"] = [2, 3, 1]
        out, err = search(settings, wait=False).communicate(timeout=120)
        assert "3 trials: 3 submitted" in out, err
        assert "in the queue already, and not submitted again: trial 1, 3" in err
        jobs = ask(slurm, "squeue", "--noheader", "--array", "--format=%i").split()
        assert len(jobs) == 3
        waiting = search(settings, wait=True)
        line = next(line for line in waiting.stderr if "not submitted again" in line)
        assert "trial 1, 2, 3" in line
    out, err = waiting.communicate(timeout=240)
    assert waiting.returncode == 0, err
    assert "3 trials: 3 finished" in out
    assert len(list(Path(settings["results_dir"]).glob("*/*/test/version_*"))) == 3
    table = next(Path(settings["results_dir"]).glob("*/searches/*/search_2/*.csv"))
    with open(table) as file:
        assert sorted(row["place"] for row in csv.DictReader(file)) == sorted(
            f"job {job}" for job in jobs
        )


@pytest.mark.slow
def test_jobs_share_the_sessions_that_are_predicted(slurm, settings, search, tmp_path):
    settings |= {"max_epochs": 1, "executor": "local", "expt_ids": ["mouse1"]}
    search(settings).communicate(timeout=240)
    (model,) = Path(settings["results_dir"]).glob("*/*/test/version_0")
    markers = Path(settings["data_dir"]) / "markers"
    files = sorted(str(path) for path in markers.glob("*.csv"))[:3]
    predictions = tmp_path / "out"
    words = [str(model), *files, "--output_dir", str(predictions), "--executor", "slurm"]
    asked = "{partition: main, time: 30, setup: [export GREETING=hello]}"
    words += ["--jobs", "2", "--slurm", asked]
    out = ask(slurm, sys.executable, "-m", "daart_fast.cli", "predict", *words)
    assert re.findall(r"job \d+_\d: (\d) sessions", out) == ["2", "1"]
    assert f"daart-fast report {predictions}" in out
    assert wait_until(lambda: not ask(slurm, "squeue", "--noheader").strip())
    assert len(list(predictions.glob("*_states.npy"))) == 3
    assert not (predictions / "time_budget.csv").exists()  # jobs would write it over
    batch = next(predictions.glob("jobs/*.sh")).read_text()
    assert "#SBATCH --partition=main" in batch and "#SBATCH --time=30" in batch
    assert "export GREETING=hello" in batch
    again = ask(slurm, sys.executable, "-m", "daart_fast.cli", "predict", *words)
    assert again.startswith("3 sessions are done already") and "job " not in again


@pytest.mark.slow
def test_two_calls_at_once_submit_each_trial_once(slurm, settings, search):
    settings |= {"max_epochs": 1, "n_lags": [1, 2]}
    with no_job_starts(slurm):
        calls = [search(settings, wait=False) for _ in range(2)]
        ends = [call.communicate(timeout=120) for call in calls]
        assert all("2 trials: 2 submitted" in out for out, _ in ends), ends
        jobs = ask(slurm, "squeue", "--noheader", "--array", "--format=%i").split()
        assert len(jobs) == 2
    assert wait_until(lambda: not ask(slurm, "squeue", "--noheader").strip())


@pytest.mark.slow
def test_without_waiting_the_jobs_go_on_and_a_failed_one_is_told_later(slurm, settings, search):
    settings |= {"max_epochs": 1, "lambda_task": [0, 1]}  # there are no tasks
    out, err = search(settings, wait=False).communicate(timeout=120)
    assert "2 trials: 2 submitted" in out and "['submitted', 'submitted']" in out, err
    assert wait_until(lambda: not ask(slurm, "squeue", "--noheader").strip())
    again = search(settings, wait=True)
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 1
    assert "['finished', 'failed']" in out
    assert "lambda_task is 1, but no session has such a file" in out
