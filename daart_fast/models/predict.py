"""Prediction: every frame of a session answered once, whatever its length."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from daart_fast.errors import DataError
from daart_fast.files import replacing

if TYPE_CHECKING:
    from daart_fast.models.segmenter import Segmenter

__all__ = ["export_states", "predict_inputs", "predict_labels"]

CHUNK_FRAMES = 65_536  # frames in one pass of a feed-forward model
BATCH_FRAMES = 32_768  # frames in one batch of windows


@contextmanager
def _running(model: Segmenter, mode: str) -> Iterator[None]:
    """Put the model in the mode, without gradients; put it back afterwards."""
    if mode not in ("eval", "train"):
        raise ValueError(f"mode must be 'eval' or 'train', not '{mode}'")
    before = model.training
    model.train(mode == "train")
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(before)


def predict_inputs(
    model: Segmenter,
    inputs: np.ndarray | Tensor,
    mode: str = "eval",
    chunk_frames: int = CHUNK_FRAMES,
) -> dict[str, np.ndarray]:
    """Predict every frame of one session.

    A feed-forward model reads the whole session in one pass, with zeros before its first and after
    its last frame as far as the model sees. A long session goes in chunks, each with its true
    neighbours as far as the model sees, so the answer is the same. A recurrent model runs over
    windows of ``sequence_length`` frames from a zero state, with ``sequence_pad`` neighbours on
    each side, as it was trained.

    Parameters
    ----------
    model
        A `Segmenter` with a classifier.
    inputs
        (T, N) floats, T >= 1, normalised as in training.
    mode
        ``"train"`` leaves dropout and sampling on, for repeated draws.
    chunk_frames
        Frames that a feed-forward model answers in one pass.

    Returns
    -------
    dict
        float32 arrays of T rows: ``labels`` (T, C) probabilities, ``scores`` (T, C) logits,
        ``embedding`` (T, n_hid_units) and, if the model has tasks, ``task_predictions``.
    """
    n_channels = model.hparams["input_size"]
    if inputs.ndim != 2 or inputs.shape[0] < 1 or inputs.shape[1] != n_channels:
        raise DataError(
            f"expected inputs of shape (frames >= 1, {n_channels}), got {tuple(inputs.shape)}"
        )
    x = torch.as_tensor(inputs, dtype=torch.float32)
    context = cast("tuple[int, int] | None", model.model["encoder"].context)
    with _running(model, mode):
        if context is None:
            parts = list(_in_windows(model, x))
        else:
            parts = list(_in_chunks(model, x, *context, chunk_frames))
    return {name: np.concatenate([part[name] for part in parts])[: x.shape[0]] for name in parts[0]}


def _in_chunks(
    model: Segmenter, x: Tensor, before: int, after: int, chunk_frames: int
) -> Iterator[dict[str, np.ndarray]]:
    """Run (T, N) in chunks; each output depends on ``before`` and ``after`` frames around it."""
    n_frames = x.shape[0]
    for first in range(0, n_frames, chunk_frames):
        last = min(first + chunk_frames, n_frames)
        start, stop = first - before, last + after
        chunk = F.pad(x[max(start, 0) : stop], (0, 0, max(-start, 0), max(stop - n_frames, 0)))
        yield _answer(model, chunk[None], before, before + last - first)


def _in_windows(model: Segmenter, x: Tensor) -> Iterator[dict[str, np.ndarray]]:
    """Run (T, N) in the windows that training uses, zeros beyond the session's ends."""
    length, pad = model.hparams["sequence_length"], model.hparams.get("sequence_pad", 0)
    before, after = (2 * pad, 0) if model.hparams.get("causal", False) else (pad, pad)
    n_windows = -(-x.shape[0] // length)
    padded = F.pad(x, (0, 0, before, n_windows * length - x.shape[0] + after))
    windows = padded.unfold(0, length + 2 * pad, length).transpose(1, 2)
    for batch in windows.split(max(1, BATCH_FRAMES // length)):
        yield _answer(model, batch, before, before + length)


def _answer(model: Segmenter, x: Tensor, first: int, last: int) -> dict[str, np.ndarray]:
    """Run windows (B, W, N); keep frames [first, last) of each, one after the other."""
    device = next(model.parameters()).device
    scores, embedding, tasks = model.classify(x.to(device))
    answer = {"labels": model.probabilities(scores), "scores": scores, "embedding": embedding}
    if tasks is not None:
        answer["task_predictions"] = tasks
    return {
        name: value[:, first:last].flatten(0, 1).float().cpu().numpy()
        for name, value in answer.items()
    }


def predict_labels(
    model: Segmenter,
    data_generator: Any,
    return_scores: bool = False,
    remove_pad: bool = True,
    mode: str = "eval",
) -> dict[str, list[list[np.ndarray]]]:
    """Predict every sequence of every session, those that no split uses too.

    Parameters
    ----------
    model
        A `Segmenter` with a classifier.
    data_generator
        A `DataGenerator`.
    return_scores
        Whether to return the logits as well.
    remove_pad
        Whether to return only the frames of each sequence that exist in the session; else all
        that the model was shown, padding included.
    mode
        ``"train"`` leaves dropout and sampling on.

    Returns
    -------
    dict
        ``labels`` (probabilities), ``scores``, ``embedding``, ``task_predictions``: for each
        session a list with an array (frames, ...) for each of its sequences, in the order of
        their numbers; an empty array for what was not asked for or does not exist.
    """
    names = ("labels", "scores", "embedding", "task_predictions")
    result: dict[str, list[list[np.ndarray]]] = {name: [] for name in names}
    with _running(model, mode):
        for dataset in data_generator.datasets:
            answers = list(_by_sequence(model, dataset, remove_pad))
            for name in names:
                wanted = name != "scores" or return_scores
                empty = np.empty(0, dtype=np.float32)
                result[name].append(
                    [answer.get(name, empty) if wanted else empty for answer in answers]
                )
    return result


def _by_sequence(
    model: Segmenter, dataset: Any, remove_pad: bool
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the answer to each sequence of a dataset, some thousand frames run at a time."""
    pad = model.hparams.get("sequence_pad", 0)
    before, after = (2 * pad, 0) if model.hparams.get("causal", False) else (pad, pad)
    step = max(1, BATCH_FRAMES // (model.hparams["sequence_length"] + 2 * pad))
    for start in range(0, dataset.n_sequences, step):
        numbers = range(start, min(start + step, dataset.n_sequences))
        sequences = [dataset[i] for i in numbers]
        x = torch.stack([torch.as_tensor(sequence["markers"]) for sequence in sequences])
        answer = _answer(model, x, 0, x.shape[1])
        for i, sequence in enumerate(sequences):
            rows = slice(i * x.shape[1], (i + 1) * x.shape[1])
            own = {name: value[rows] for name, value in answer.items()}
            if remove_pad:
                real = np.asarray(sequence["frame_mask"].cpu())[before : x.shape[1] - after]
                own = {
                    name: value[before : x.shape[1] - after][real] for name, value in own.items()
                }
            yield own


def export_states(
    model: Segmenter, data_generator: Any, save_dir: str | os.PathLike[str]
) -> list[Path]:
    """Write ``<sess_id>_states.npy`` for every session: its probabilities, a row for each frame.

    Each file holds float32 (T, C) and is written whole or not at all. Returns the paths, in the
    order of the sessions.
    """
    paths = []
    for sess_id, dataset in zip(data_generator.ids, data_generator.datasets, strict=True):
        states = predict_inputs(model, dataset.normalised_inputs())["labels"]
        paths.append(Path(save_dir) / f"{sess_id}_states.npy")
        with replacing(paths[-1]) as temporary:
            np.save(temporary, states)
    return paths
