"""Each trial gives a result or a traceback."""

from argparse import Namespace

import pytest

from daart_fast.search.run import run_trials

TRIALS = [Namespace(number=number) for number in range(3)]


def fail_at_one(trial: Namespace) -> int:
    if trial.number == 1:
        raise ValueError("no such luck")
    return trial.number


def test_results_come_in_order_with_their_trials():
    assert run_trials(lambda trial: trial.number + 1, TRIALS) == [
        (trial, trial.number + 1) for trial in TRIALS
    ]


def test_failure_01_a_trial_that_fails_prints_its_traceback_and_the_others_go_on(capsys):
    assert run_trials(fail_at_one, TRIALS) == [(TRIALS[0], 0), (TRIALS[1], None), (TRIALS[2], 2)]
    err = capsys.readouterr().err
    assert "trial 2 of 3 failed" in err
    assert "Traceback" in err and "ValueError: no such luck" in err and "fail_at_one" in err
    assert "1 of 3 trials failed" in err


def test_an_interrupt_is_no_failure_of_a_trial():
    def interrupt(trial: Namespace) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(interrupt, TRIALS)
