"""Several sessions at a time: in order, bounded, and no different from one after another."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from daart_fast.data.sessions import Session, statistics
from daart_fast.models import Segmenter, export_states, predict_inputs, predict_session
from daart_fast.models.several import parallel_map

PATIENCE = 30  # seconds: a test that waits longer fails


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_sessions():
    def work(seconds):
        time.sleep(seconds)
        return seconds

    waits = [0.05, 0.0, 0.02, 0.0, 0.0]
    assert list(parallel_map(work, waits)) == waits


def test_two_are_under_way_at_once_and_each_has_one_thread():
    meeting = threading.Barrier(2, timeout=PATIENCE)

    def work(_):
        meeting.wait()
        return torch.get_num_threads()

    assert list(parallel_map(work, range(4))) == [1] * 4
    assert torch.get_num_threads() == 2
    with torch.inference_mode():
        assert list(parallel_map(lambda _: torch.get_num_threads(), ["lone"])) == [2]


def test_no_more_results_wait_than_is_said():
    begun = []
    results = parallel_map(lambda i: begun.append(i), range(100))
    for taken in range(1, 20):
        next(results)
        assert len(begun) <= taken + 4
    results.close()
    assert len(begun) < 30


def test_the_first_failure_is_raised_and_those_not_begun_are_left():
    begun = []

    def work(i):
        begun.append(i)
        if i == 3:
            raise ValueError(f"session {i}")
        return i

    results = parallel_map(work, range(100))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="session 3"):
        next(results)
    assert len(begun) < 10
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("backbone", ["dtcn", "lstm"])
def test_files_hold_bit_for_bit_what_each_session_alone_comes_to(make_hparams, tmp_path, backbone):
    draw = np.random.default_rng(0)
    sessions = []
    for i, n_frames in enumerate([300, 1, 75, 20_000, 40]):
        values = draw.normal(size=(n_frames, 3)).astype(np.float32)
        sessions.append(Session(f"s{i}", values, ["a", "b", "c"], **statistics(values)))
    generator = SimpleNamespace(
        ids=[session.id for session in sessions],
        datasets=[SimpleNamespace(session=session) for session in sessions],
    )
    model = Segmenter(make_hparams(backbone=backbone, dropout=0.5)).train()
    paths = export_states(model, generator, tmp_path)
    assert [path.name for path in paths] == [f"s{i}_states.npy" for i in range(5)]
    assert model.training
    torch.set_num_threads(1)  # what each session had
    for path, session in zip(paths, sessions, strict=True):
        np.testing.assert_array_equal(np.load(path), predict_session(model, session))


def test_the_bar_counts_every_frame(make_hparams, tmp_path, monkeypatch):
    counts = []

    class Bar:
        def __init__(self, total, **settings):
            counts.append(total)

        def get_lock(self):
            return threading.Lock()

        def update(self, n):
            counts.append(-n)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr("tqdm.tqdm", Bar)
    values = np.ones((20_000, 3), dtype=np.float32)
    sessions = [Session(f"s{i}", values, ["a", "b", "c"], **statistics(values)) for i in range(3)]
    generator = SimpleNamespace(
        ids=["s0", "s1", "s2"], datasets=[SimpleNamespace(session=session) for session in sessions]
    )
    export_states(Segmenter(make_hparams()), generator, tmp_path)
    assert counts[0] == 60_000
    assert sum(counts) == 0
    assert len(counts) > 6  # chunk by chunk, not session by session


@pytest.fixture
def switching_all_the_time():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
def test_models_answer_in_many_threads_at_once_as_in_one(make_hparams, switching_all_the_time):
    models = [
        Segmenter(make_hparams(backbone=backbone, causal=causal)).eval()
        for backbone, causal in [("dtcn", False), ("dtcn", True), ("temporal-mlp", False)]
    ] + [Segmenter(make_hparams(backbone="gru")).eval()]
    inputs = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    cases = [(model, n_frames) for model in models for n_frames in (1, 57, 1000)]

    def answers(_=None):
        torch.set_num_threads(1)  # a sum's order, and so its rounding, depends on their number
        return [predict_inputs(m, inputs[:n], chunk_frames=200)["labels"] for m, n in cases]

    expected = answers()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(answers, range(32)):
            for one, right in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, right)
