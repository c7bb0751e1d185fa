"""Version folders: one run each, however many start together and however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from daart_fast.experiment.versions import Experiment, claim_version

REPOSITORY = Path(__file__).resolve().parents[2]

RACE = """
import sys, time
from pathlib import Path
from daart_fast.experiment.versions import claim_version
parent, go = map(Path, sys.argv[1:3])
print("ready", flush=True)
while not go.exists():
    time.sleep(0.0005)
held = [claim_version(parent) for _ in range(8)]
print(*(run.version for run in held), flush=True)
sys.stdin.read()
"""

HOLD = """
import sys
from pathlib import Path
from daart_fast.experiment.versions import claim_version
run = claim_version(Path(sys.argv[1]))
print(run.version, flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys
from pathlib import Path
from daart_fast.experiment.versions import Experiment, claim_version
run = claim_version(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    run.close()
    os._exit(0)
os.waitpid(child, 0)
print(run.version, flush=True)
sys.stdin.read()
"""


def start(code: str, *args: Path) -> subprocess.Popen:
    """Run code in another process, which goes on until its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def finish(process: subprocess.Popen) -> str:
    return process.communicate(timeout=30)[0]


def test_versions_are_numbered_from_0(tmp_path):
    runs = [claim_version(tmp_path / "new" / "test") for _ in range(3)]
    assert [run.version for run in runs] == [0, 1, 2]
    assert [run.folder for run in runs] == [
        tmp_path / "new" / "test" / f"version_{i}" for i in range(3)
    ]
    assert runs[0].name == "test"


def test_the_first_free_number_is_taken(tmp_path):
    for name in ("version_0", "version_2", "version_x", "other"):
        (tmp_path / name).mkdir()
    assert [claim_version(tmp_path).version for _ in range(2)] == [1, 3]


@pytest.mark.slow
def test_failure_12_two_runs_never_share_a_version(tmp_path):
    go = tmp_path / "go"
    runs = [start(RACE, tmp_path / "test", go) for _ in range(6)]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    go.write_text("")
    taken = [int(number) for run in runs for number in run.stdout.readline().split()]
    assert sorted(taken) == list(range(48))
    # and all are held as long as their processes live
    folders = [tmp_path / "test" / f"version_{number}" for number in range(48)]
    assert not any(Experiment.take_up(folder) for folder in folders)
    for run in runs:
        finish(run)
    again = [Experiment.take_up(folder) for folder in folders]
    assert [run and run.version for run in again] == list(range(48))


def test_a_run_at_work_is_not_taken_up(tmp_path):
    run = start(HOLD, tmp_path)
    assert run.stdout.readline() == "0\n"
    assert Experiment.take_up(tmp_path / "version_0") is None
    assert claim_version(tmp_path).version == 1
    finish(run)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_run_that_was_killed_can_be_taken_up(tmp_path):
    run = start(HOLD, tmp_path)
    assert run.stdout.readline() == "0\n"
    run.kill()
    run.wait(timeout=30)
    taken = Experiment.take_up(tmp_path / "version_0")
    assert taken is not None and taken.version == 0 and taken.folder == tmp_path / "version_0"
    assert Experiment.take_up(tmp_path / "version_0") is None
    finish(run)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_worker_does_not_let_go_of_its_parents_version(tmp_path):
    run = start(FORK, tmp_path)
    assert run.stdout.readline() == "0\n"
    assert Experiment.take_up(tmp_path / "version_0") is None
    finish(run)
    assert Experiment.take_up(tmp_path / "version_0") is not None


def test_a_run_that_ends_well_leaves_nothing_behind(tmp_path):
    run = claim_version(tmp_path)
    assert Experiment.take_up(run.folder) is None  # in the same process too
    run.close()
    run.close()
    assert os.listdir(tmp_path / "version_0") == []
    taken = Experiment.take_up(tmp_path / "version_0")
    assert taken is not None
    del taken
    assert os.listdir(tmp_path / "version_0") == []


def test_a_folder_that_is_gone_is_not_taken_up(tmp_path):
    assert Experiment.take_up(tmp_path / "version_0") is None
    run = claim_version(tmp_path)
    (run.folder / ".running").unlink()
    run.folder.rmdir()
    run.close()


@pytest.mark.parametrize("left", [None, "checkpoint.pt", "best_val_model.pt"])
def test_a_block_that_fails_before_anything_is_trained_leaves_no_folder(tmp_path, left):
    experiment = claim_version(tmp_path)
    experiment.keeps_failure = False
    with pytest.raises(ZeroDivisionError), experiment:
        for name in ("hparams.yaml", "console.log", left or "metrics.csv"):
            (experiment.folder / name).touch()
        1 / 0  # noqa: B018
    assert experiment.folder.exists() == (left is not None)
    assert not (experiment.folder / ".running").exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_block_that_ends_well_or_is_interrupted_leaves_its_folder(tmp_path, error):
    experiment = claim_version(tmp_path)
    experiment.keeps_failure = False
    with suppress(KeyboardInterrupt), experiment:
        (experiment.folder / "hparams.yaml").touch()
        if error is not None:
            raise error
    assert [path.name for path in experiment.folder.iterdir()] == ["hparams.yaml"]
    assert Experiment.take_up(experiment.folder) is not None


def test_a_trial_of_a_search_that_fails_leaves_its_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), claim_version(tmp_path):
        1 / 0  # noqa: B018
    assert (tmp_path / "version_0").is_dir()
