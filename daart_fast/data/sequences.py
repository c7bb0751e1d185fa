"""Which frames make which sequence, and which sequences train, validate and test."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from daart_fast.backbones import backbone_of
from daart_fast.errors import DataError

__all__ = [
    "compute_sequence_pad",
    "compute_sequences",
    "count_windows",
    "frames_of_windows",
    "n_shared_windows",
    "share_out",
    "shown_beside",
    "split_trials",
    "splits_of",
    "trial_splits_of",
]

SPLITS = ("train", "val", "test")


def shown_beside(sequence_pad: int, causal: bool) -> tuple[int, int]:
    """Return how many neighbours a sequence is shown before and after its own frames."""
    return (2 * sequence_pad, 0) if causal else (sequence_pad, sequence_pad)


def compute_sequence_pad(hparams: Mapping[str, Any]) -> int:
    """Return how many neighbouring frames a sequence is shown on each side.

    Raises
    ------
    ConfigError
        if the backbone does not exist
    """
    return backbone_of(hparams).padding(hparams)


def compute_sequences(
    data: np.ndarray | list[np.ndarray], sequence_length: int, sequence_pad: int = 0
) -> list[np.ndarray]:
    """Cut an array into full sequences, as daart's scripts expect it.

    Parameters
    ----------
    data
        (T,) or (T, N); a list, which is cut already, comes back as it is
    sequence_length
        L, frames in a sequence
    sequence_pad
        frames of its neighbours on each side; zeros beyond the array's ends

    Returns
    -------
    list of np.ndarray
        T // L arrays (L + 2 * pad, ...); frames after the last full one are left out
        (`DataGenerator` keeps them)

    Raises
    ------
    DataError
        if there are fewer than L frames
    """
    if isinstance(data, list):
        return data
    n_sequences = len(data) // sequence_length
    if n_sequences == 0:
        raise DataError(
            f"expected at least sequence_length = {sequence_length} frames, found {len(data)}"
        )
    pads = [(sequence_pad, sequence_pad)] + [(0, 0)] * (data.ndim - 1)
    padded = np.pad(data, pads)
    window = sequence_length + 2 * sequence_pad
    starts = range(0, n_sequences * sequence_length, sequence_length)
    return [padded[start : start + window].copy() for start in starts]


def count_windows(n_frames: int, sequence_length: int) -> int:
    """Return how many sequences a session makes, the partial one at its end among them."""
    return -(-n_frames // sequence_length)


def split_trials(
    n_trials: int,
    rng_seed: int = 0,
    train_tr: int = 8,
    val_tr: int = 1,
    test_tr: int = 1,
    gap_tr: int = 0,
) -> dict[str, np.ndarray]:
    """Share the sequences of a session out in blocks, shifted in a circle, as daart 1.2 does.

    Parameters
    ----------
    n_trials
        sequences in the session
    rng_seed
        seeds the order of the blocks and the shift
    train_tr, val_tr, test_tr, gap_tr
        sequences of a block; the gap ones follow each of the three and are left out

    Returns
    -------
    dict
        arrays of sequence numbers by ``train``, ``val``, ``test``; what fills no block trains

    Raises
    ------
    ValueError
        if there are too few sequences for one block
    """
    random = np.random.RandomState(rng_seed)
    parts = _blocks(n_trials, random, train_tr, val_tr, test_tr, gap_tr)
    shift = random.randint(n_trials)
    return {name: (numbers + shift) % n_trials for name, numbers in parts.items()}


def _blocks(
    n_trials: int,
    random: np.random.RandomState,
    train_tr: int,
    val_tr: int,
    test_tr: int,
    gap_tr: int,
) -> dict[str, np.ndarray]:
    """Share sequences out as `split_trials` does, but without the shift."""
    sizes = {"train": train_tr, "val": val_tr, "test": test_tr}
    block = sum(size + gap_tr for size in sizes.values())
    n_blocks = n_trials // block if block else 0
    if n_blocks == 0:
        raise ValueError(
            f"expected at least {block} sequences, as one block of the splits {train_tr};{val_tr};"
            f"{test_tr};{gap_tr} needs, found {n_trials}"
        )
    order = random.permutation(n_blocks)
    parts, offset = {}, 0
    for name, size in sizes.items():
        first = order * block + offset
        parts[name] = (first[:, None] + np.arange(size)).ravel()
        offset += size + gap_tr
    parts["train"] = np.concatenate([parts["train"], np.arange(n_blocks * block, n_trials)])
    return parts


def trial_splits_of(hparams: Mapping[str, Any]) -> str | dict[str, int]:
    """Return the key ``trial_splits``; of a model that daart trained, with ``circular`` set.

    hparams.yaml of daart_fast names the channels, that of daart does not. The shift is not among
    what daart stores, so a warning says that the validation frames may not be those of daart.
    """
    splits = str(hparams["trial_splits"])
    if not hparams.get("training_completed") or "input_names" in hparams:
        return splits
    _warn_of_daart()
    return {**_sizes(splits), "circular": 1}


@functools.cache
def _warn_of_daart() -> None:
    logging.warning(
        "the model was trained by daart, which does not store the frames it trained on: scores of "
        "its sessions may include these. Score it on sessions that it was not trained on"
    )


def n_shared_windows(
    n_frames: int, sequence_length: int, trial_splits: str | Mapping[str, int]
) -> int:
    """Return how many sequences of a session are shared out: daart leaves the partial one out."""
    if _sizes(trial_splits).get("circular"):
        return n_frames // sequence_length
    return count_windows(n_frames, sequence_length)


def _sizes(trial_splits: str | Mapping[str, int]) -> Mapping[str, int]:
    if not isinstance(trial_splits, str):
        return trial_splits
    names = ("train_tr", "val_tr", "test_tr", "gap_tr")
    return dict(zip(names, map(int, trial_splits.split(";")), strict=True))


def splits_of(
    n_windows: int,
    trial_splits: str | Mapping[str, int],
    rng_seed: int,
    without: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Split a session's windows; one with too few for a block trains whole.

    Parameters
    ----------
    n_windows
        sequences in the session
    trial_splits
        ``'train;val;test;gap'``, or a dict of `split_trials`' arguments, those missing 0;
        ``circular`` in it shifts the blocks in a circle, as `split_trials` does
    rng_seed
        seeds the order of the blocks
    without
        ``val`` or ``test``: splits that get no windows here, as whole sessions are held out for
        them; their windows are not left out but do not exist in the blocks
    """
    trial_splits = _sizes(trial_splits)
    sizes = {
        split: 0 if split in without else trial_splits.get(f"{split}_tr", 0) for split in SPLITS
    }
    gap = trial_splits.get("gap_tr", 0)
    whole = sum(sizes.values()) + 3 * gap > n_windows
    if whole or sizes["val"] == sizes["test"] == 0:
        none = np.empty(0, dtype=np.int64)
        return {"train": np.arange(n_windows), "val": none, "test": none}
    counts = (sizes["train"], sizes["val"], sizes["test"], gap)
    if trial_splits.get("circular"):
        return split_trials(n_windows, rng_seed, *counts)
    return _blocks(n_windows, np.random.RandomState(rng_seed), *counts)


def share_out(
    session: str,
    number: int,
    n_windows: int,
    trial_splits: str | Mapping[str, int],
    rng_seed: int,
    train_frac: float = 1.0,
    ids_val: Collection[str] = (),
    ids_test: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Share a session's windows out to training, validation and test.

    Parameters
    ----------
    session, number
        its name, and its place in the list of all sessions
    n_windows
        its sequences
    trial_splits, rng_seed
        see `splits_of`
    train_frac
        up to 1: the fraction of its training sequences that is used, at least one; above 1: so
        many of them
    ids_val, ids_test
        the sessions that are held out whole

    Returns
    -------
    dict
        arrays of sequence numbers by split
    """
    none = np.empty(0, dtype=np.int64)
    for split, held_out in (("val", ids_val), ("test", ids_test)):
        if session in held_out:
            return {name: none for name in SPLITS} | {split: np.arange(n_windows)}
    without = [split for split, ids in (("val", ids_val), ("test", ids_test)) if ids]
    splits = splits_of(n_windows, trial_splits, rng_seed, without)
    if train_frac != 1:
        draw = np.random.default_rng([rng_seed, number])
        n_train = len(splits["train"])
        wanted = np.ceil(train_frac * n_train) if train_frac < 1 else train_frac
        kept = min(max(int(wanted), 1), n_train)
        splits["train"] = draw.permutation(splits["train"])[:kept]
    return splits


def frames_of_windows(windows: np.ndarray, n_frames: int, sequence_length: int) -> np.ndarray:
    """Return (T,) bool: the frames that some of a session's windows answer for."""
    frames = np.zeros((count_windows(n_frames, sequence_length), sequence_length), dtype=bool)
    frames[windows] = True
    return frames.ravel()[:n_frames]
