"""The compiled gather copies what its plain twin copies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from daart_fast.data.gather import gather_window, gather_window_numpy


@pytest.mark.parametrize("seed", range(40))
def test_windows_are_the_twins(seed):
    draw = np.random.default_rng(seed)
    n_frames, n_channels, window = draw.integers(1, [60, 9, 40])
    inputs = draw.normal(100, 5, (n_frames, n_channels)).astype(np.float32)
    missing = draw.random(inputs.shape) < 0.2 * (seed % 2)
    mean = inputs.mean(0)
    scale = draw.uniform(0, 2, n_channels).astype(np.float32)
    for first in (-window - 2, -window, -window // 2, -1, 0, 1, n_frames // 2, n_frames, 1000):
        found, expected = (np.full((window, n_channels), np.nan, np.float32) for _ in range(2))
        some = np.where(missing, np.float32(np.nan), inputs)
        gather_window()(some, mean, scale, first, found)
        gather_window_numpy(some, mean, scale, first, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        frames = np.arange(first, first + window)
        beyond = (frames < 0) | (frames >= n_frames)
        assert np.all(expected[beyond] == 0)
        normalised = np.where(missing, np.float32(0), (inputs - mean) * scale)
        np.testing.assert_array_equal(expected[~beyond], normalised[frames[~beyond]])


def test_a_session_mapped_into_memory_need_not_be_copied(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    mapped = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    fixed = np.zeros(3, np.float32), np.ones(3, np.float32)
    for array in fixed:
        array.flags.writeable = False
    out = np.empty((60, 3), np.float32)
    gather_window()(mapped, *fixed, -5, out)
    np.testing.assert_array_equal(out[5:55], inputs)


def test_windows_go_straight_into_a_batch_of_tensors():
    batch = torch.full((2, 4, 3), torch.nan)
    inputs = np.arange(12, dtype=np.float32).reshape(4, 3)
    for row, first in zip(batch.numpy(), (0, -2), strict=True):
        gather_window()(inputs, np.zeros(3, np.float32), np.ones(3, np.float32), first, row)
    assert batch[0].tolist() == inputs.tolist()
    assert batch[1].tolist() == [[0] * 3, [0] * 3, *inputs[:2].tolist()]


def test_arrays_of_another_type_or_layout_are_refused():
    good = np.zeros((4, 3), np.float32)
    ones = np.ones(3, np.float32)
    for bad in (np.zeros((4, 3)), np.zeros((3, 4), np.float32).T, np.zeros((4, 6), "f4")[:, ::2]):
        with pytest.raises(TypeError):
            gather_window()(bad, ones, ones, 0, good)
        with pytest.raises(TypeError):
            gather_window()(good, ones, ones, 0, bad)


def test_threads_gather_side_by_side():
    inputs = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    mean, scale = np.zeros(8, np.float32), np.ones(8, np.float32)
    out = np.empty((4, 100, 8), np.float32)
    threads = [
        threading.Thread(target=gather_window(), args=(inputs, mean, scale, 100 * i, out[i]))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(out.reshape(400, 8), inputs[:400])


@pytest.mark.slow
def test_it_runs_where_the_compiled_form_cannot_be_kept(tmp_path):
    # an installation that may not be written to, and no home
    lock = tmp_path / "no_folder"
    lock.write_text("")
    code = (
        "import numpy as np; from daart_fast.data.gather import gather_window;"
        "out = np.empty((2, 1), 'f4'); one = np.ones(1, 'f4');"
        "gather_window()(np.full((2, 1), 3, 'f4'), one, one, 0, out); print(out.ravel())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(lock / "inside"), "HOME": str(lock)},
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.strip() == "[2. 2.]", done.stderr
