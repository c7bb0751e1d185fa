"""What the user sees while a search runs."""

from __future__ import annotations

import io

from daart_fast.search.display import Display, duration
from daart_fast.search.trials import Ended, Job, Outcome, Progressed, Started

JOBS = [Job(1, None, "n_lags=1"), Job(2, None, "n_lags=2")]
AT_WORK = {"epoch": 3.0, "n_epochs": 6.0, "done": 0.5, "val_loss": 0.25, "best": 0.2}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_plain_lines_tell_starts_ends_and_how_it_stands():
    stream = io.StringIO()
    display = Display(JOBS, 3, stream, every=0.0)
    display.show(Started(1, "worker 1"))
    display.show(Progressed(1, AT_WORK))
    display.show(Ended(1, Outcome("finished", began=10.0, ended=25.0)))
    display.close()
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "trial 1 of 3 starts on worker 1 (n_lags=1)\n" in text
    assert "0 of 2 trials done, 1 running, about " in text
    assert "trial 1: epoch 3 of 6, validation loss 0.25, best 0.2  (worker 1; n_lags=1)" in text
    assert "trial 1 of 3 took 15 s (n_lags=1), best validation loss 0.2\n" in text


def test_lines_about_the_whole_come_only_now_and_then():
    stream = io.StringIO()
    display = Display(JOBS, 2, stream, every=1000.0)
    display.show(Started(1, "worker 1"))
    for _ in range(100):
        display.show(Progressed(1, AT_WORK))
    assert stream.getvalue().count("\n") == 1


def test_a_failure_says_why_and_where_to_read_more(tmp_path):
    stream = io.StringIO()
    job = Job(1, None, log=tmp_path / "trial_1.log")
    display = Display([job], 2, stream)
    display.show(Ended(1, Outcome("failed", error="ValueError: no")))
    assert stream.getvalue() == (
        f"trial 1 of 2 failed: ValueError: no\n    Traceback and output: {job.log}\n"
    )
    assert display.failed == 1


def test_on_a_terminal_the_lines_are_kept_up_to_date_and_taken_away_at_the_end():
    stream = Terminal()
    display = Display(JOBS, 2, stream)
    display.show(Started(1, "worker 1"))
    display.show(Ended(1, Outcome("finished")))
    display.close()
    screen: list[str] = []
    for piece in stream.getvalue().split("\x1b["):
        if piece[:1].isdigit() and piece.partition("A")[1]:
            screen = screen[: len(screen) - int(piece.partition("A")[0])]
        else:
            screen += piece.removeprefix("J").splitlines()
    assert screen == ["trial 1 of 2 took 0 s (n_lags=1)"]


def test_the_time_left_follows_from_the_part_that_is_done():
    display = Display(JOBS, 2, io.StringIO())
    assert display.seconds_left() is None
    display.show(Started(1, "worker 1"))
    display.show(Progressed(1, AT_WORK))
    display._start -= 10
    left = display.seconds_left()
    assert left is not None and 29 < left < 31  # a quarter of the work took 10 s


def test_times_are_spelled_as_people_do():
    assert [duration(s) for s in (8.2, 200, 3765)] == ["8 s", "3:20", "1:02:45"]
