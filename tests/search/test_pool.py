"""Worker processes: who runs what, and what of it survives whom. The functions are scripts' own."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from daart_fast.errors import DataError
from daart_fast.search import run_trials
from daart_fast.search.local import n_cores, slots_on_cpu, slots_on_gpus

TRIALS = [Namespace(number=number) for number in range(3)]

HEAD = """
import json, os, sys, time
from argparse import Namespace
from daart_fast.search import run_trials
from daart_fast.search.local import slots_on_cpu, slots_on_gpus
"""

WHO = (
    HEAD
    + """
def who(trial, *more):
    import torch
    time.sleep(0.3)
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return {"number": trial.number, "pid": os.getpid(), "threads": torch.get_num_threads(),
            "more": more, **{name: os.environ.get(name) for name in names}}

if __name__ == "__main__":
    trials = [Namespace(number=number) for number in range(8)]
    search = run_trials(who, trials, eval(sys.argv[1]))
    print(json.dumps([result for trial, result in search.results]))
"""
)

DEATHS = (
    HEAD
    + """
def run(trial):
    print("trial", trial.how, "prints this")
    if trial.how == "raises":
        raise ValueError("no such luck")
    if trial.how == "killed":
        os.kill(os.getpid(), 9)
    if trial.how == "exits":
        os._exit(3)
    if trial.how == "aborts":
        os.abort()
    if trial.how == "unsendable":
        return lambda: 0
    return "well"

if __name__ == "__main__":
    hows = ["raises", "killed", "well", "exits", "aborts", "unsendable", "well"]
    search = run_trials(run, [Namespace(how=how) for how in hows], slots_on_cpu(2))
    print(json.dumps([[trial.how, result] for trial, result in search.results]))
    sys.exit(1 if search.failed else 0)
"""
)


@pytest.mark.slow
def test_persistent_workers_run_a_scripts_function_each_with_its_share_of_the_cores(script):
    code, out, _ = script(WHO, "slots_on_cpu(2)", OMP_NUM_THREADS="64").finish()
    assert code == 0
    results = json.loads(out.splitlines()[-1])
    assert [result["number"] for result in results] == list(range(8))
    assert len({result["pid"] for result in results}) == 2
    share = max(1, n_cores() // 2)
    assert {result["threads"] for result in results} == {share}
    assert {result["OMP_NUM_THREADS"] for result in results} == {str(share)}


@pytest.mark.slow
def test_each_place_on_a_gpu_is_a_process_that_sees_no_other_gpu(script):
    start = script(WHO, "slots_on_gpus(['0', '2'], per_gpu=2)", CUDA_VISIBLE_DEVICES="5,6,7")
    code, out, _ = start.finish()
    assert code == 0
    results = json.loads(out.splitlines()[-1])
    seen = {(result["pid"], result["CUDA_VISIBLE_DEVICES"], *result["more"]) for result in results}
    assert sorted(devices + " " + gpu for _, devices, gpu in seen) == ["5 0", "5 0", "7 2", "7 2"]


@pytest.mark.slow
def test_failure_01_whatever_ends_a_trial_is_told_and_the_others_go_on(script):
    code, out, err = script(DEATHS).finish()
    assert code == 1
    results = json.loads(out.splitlines()[-1])
    assert results[2] == results[6] == ["well", "well"]
    assert [result for _, result in results[:5]] == [None, None, "well", None, None]
    assert results[5][1].startswith("function, which cannot be sent")
    assert "trial 1 of 7 failed: ValueError: no such luck" in err
    assert "trial 2 of 7 failed: its process was killed by signal 9 (SIGKILL)" in err
    assert "trial 4 of 7 failed: its process ended with exit code 3" in err
    assert "trial 5 of 7 failed: its process was killed by signal 6 (SIGABRT)" in err


PICKLES = (
    HEAD
    + """
class Odd:
    def __init__(self, error, where):
        self.error, self.where = error, where
    def __reduce__(self):
        if self.where == "there":
            return loads, (self.error, os.getpid())
        raise self.error

def loads(error, writer):
    if os.getpid() != writer:
        raise error

def run(trial):
    return trial.result and Odd(trial.result, trial.where)

if __name__ == "__main__":
    no_file, pointers = OSError("no such file"), ValueError("pointers")
    cases = [(pointers, "here"), (no_file, "here"), (pointers, "there"), (no_file, "there")]
    trials = [Namespace(result=error, where=where) for error, where in cases]
    trials += [Namespace(result=None, lost=Odd(error, "there")) for error in (no_file, pointers)]
    search = run_trials(run, [*trials, Namespace(result=None)], slots_on_cpu(2))
    print(json.dumps([[result for trial, result in search.results], search.failed]))
"""
)


@pytest.mark.slow
def test_what_cannot_be_pickled_or_read_again_ends_no_search_and_holds_none_up(script):
    """Errors of reading are not those of a connection that is gone: OSError may be either."""
    code, out, err = script(PICKLES).finish()
    assert code == 0, err
    results, failed = json.loads(out.splitlines()[-1])
    sent, read = "Odd, which cannot be sent: ", "a result that cannot be read here: "
    assert results[:2] == [sent + "pointers", sent + "no such file"]
    assert results[2:4] == [read + "pointers", read + "no such file"]
    assert results[4:] == [None, None, None]
    assert failed == [5, 6]  # the worker could not read what it was to do
    assert "ValueError: pointers" in err and "OSError: no such file" in err


# ------------------------------------------------------------------------------ in this process


def fail_at_one(trial: Namespace) -> int:
    if trial.number == 1:
        raise ValueError("no such luck")
    return trial.number


def test_a_function_that_no_other_process_could_import_runs_in_this_one(capsys):
    search = run_trials(lambda trial: trial.number + 1, TRIALS, slots_on_cpu(2))
    assert search.results == [(trial, trial.number + 1) for trial in TRIALS]
    assert "trials run in this process, one after another: " in capsys.readouterr().err


def test_failure_01_in_this_process_too_the_traceback_is_shown(capsys):
    local = lambda trial: fail_at_one(trial)  # noqa: E731
    search = run_trials(local, TRIALS)
    assert [result for _, result in search.results] == [0, None, 2]
    assert search.failed == [2]
    err = capsys.readouterr().err
    assert "trial 2 of 3 failed: ValueError: no such luck" in err
    assert "Traceback" in err and "fail_at_one" in err


def test_in_this_process_what_the_user_can_mend_is_told_without_a_traceback(capsys):
    def fail(trial: Namespace) -> None:
        raise DataError("labels-hand/a.csv: expected 900 rows, got 899")

    assert run_trials(fail, TRIALS[:1]).failed == [1]
    err = capsys.readouterr().err
    assert "daart-fast: error: labels-hand/a.csv: expected 900 rows, got 899\n" in err
    assert "Traceback" not in err


def test_a_single_trial_runs_in_this_process_and_may_change_its_namespace():
    seen = []
    trial = Namespace(number=7)
    search = run_trials(lambda own: seen.append(vars(own).pop("number")) or "done", [trial])
    assert search.results == [(Namespace(number=7), "done")] and seen == [7]


def test_an_interrupt_before_the_first_checkpoint_is_said_to_leave_none(capsys):
    def interrupt(trial: Namespace) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(interrupt, TRIALS[:1])
    error = capsys.readouterr().err
    assert error == "stopped: there is no checkpoint yet, so the same command begins again\n"


def test_an_interrupt_is_no_failure_of_a_trial():
    def interrupt(trial: Namespace) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(interrupt, TRIALS)


def test_cores_are_shared_out_and_a_lower_limit_of_the_users_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("daart_fast.search.local.n_cores", lambda: 12)
    slots = slots_on_cpu(3)
    assert [slot.n_threads for slot in slots] == [4, 4, 4]
    assert slots[0].environment["OMP_NUM_THREADS"] == "1"
    assert slots[0].environment["MKL_NUM_THREADS"] == "4"
    assert slots_on_cpu(50)[0].n_threads == 1
    assert slots_on_gpus(["0", "1"], per_gpu=2)[3].n_threads == 3


def test_a_gpu_that_is_not_visible_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    with pytest.raises(ValueError, match="names GPU 2, but CUDA_VISIBLE_DEVICES=5,6 leaves 2"):
        slots_on_gpus(["2"])
