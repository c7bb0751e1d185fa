"""Prediction: every frame of a session answered once, whatever its length."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from daart_fast.errors import DataError
from daart_fast.files import replacing
from daart_fast.models.several import parallel_map

if TYPE_CHECKING:
    from daart_fast.data.sessions import Session
    from daart_fast.models.segmenter import Segmenter

__all__ = ["export_states", "predict_inputs", "predict_labels", "predict_session"]

CHUNK_FRAMES = 8_192  # in one pass of a feed-forward model: what lies between layers stays in cache
DEVICE_CHUNK_FRAMES = 262_144  # the same on a GPU: enough to keep it busy
BATCH_FRAMES = 32_768  # frames in one batch of windows


@contextmanager
def _running(model: Segmenter, mode: str) -> Iterator[None]:
    """Put the model in the mode, without gradients; put it back afterwards."""
    if mode not in ("eval", "train"):
        raise ValueError(f"mode must be 'eval' or 'train', not '{mode}'")
    before = model.training
    try:
        model.train(mode == "train")
        with torch.inference_mode():
            yield
    finally:
        model.train(before)


def predict_inputs(
    model: Segmenter,
    inputs: np.ndarray | Tensor,
    mode: str = "eval",
    chunk_frames: int | None = None,
) -> dict[str, np.ndarray]:
    """Predict every frame of one session that is in memory.

    A feed-forward model reads the whole session in one pass, with zeros before its first and after
    its last frame as far as the model sees. A long session goes in chunks, each with its true
    neighbours as far as the model sees, so the answer is the same. A recurrent model runs over
    windows of ``sequence_length`` frames from a zero state, with ``sequence_pad`` neighbours on
    each side, as it was trained.

    A model that is in the mode asked for answers in any number of threads at a time. Another is put
    into it meanwhile, as a whole: it belongs to one thread.

    Parameters
    ----------
    model
        A `Segmenter` with a classifier.
    inputs
        (T, N) floats, T >= 1, normalised as in training.
    mode
        ``"train"`` leaves dropout and sampling on, for repeated draws.
    chunk_frames
        Frames that a feed-forward model answers in one pass; None: as suits the model's device.

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
    n_frames = len(x)

    def frames(first: int, last: int) -> Tensor:
        beyond = (max(-first, 0), max(last - n_frames, 0))
        return F.pad(x[max(first, 0) : last], (0, 0, *beyond))

    with _running(model, mode):
        parts = list(_parts(model, n_frames, frames, chunk_frames or _chunk_frames(model)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunk_frames(model: Segmenter) -> int:
    """How many frames the model had best answer in one pass, where it is."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    return CHUNK_FRAMES if on_cpu else DEVICE_CHUNK_FRAMES


#: Frames [first, last) of a session, (last - first, N) normalised; zeros beyond its ends.
Frames = Callable[[int, int], Tensor]


def _parts(
    model: Segmenter,
    n_frames: int,
    frames: Frames,
    chunk_frames: int,
    names: Collection[str] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the answers (all, or those of these names) to a session's frames, part by part."""
    context = cast("tuple[int, int] | None", model.model["encoder"].context)
    if context is None:
        yield from _in_windows(model, n_frames, frames, names)
    else:
        yield from _in_chunks(model, n_frames, frames, *context, chunk_frames, names)


def _in_chunks(
    model: Segmenter,
    n_frames: int,
    frames: Frames,
    before: int,
    after: int,
    chunk_frames: int,
    names: Collection[str] | None,
) -> Iterator[dict[str, np.ndarray]]:
    """Run in chunks; each output depends on ``before`` and ``after`` frames around it."""

    def answer(first: int) -> dict[str, np.ndarray]:
        last = min(first + chunk_frames, n_frames)
        with torch.inference_mode():  # a thread of its own has its own mode
            x = frames(first - before, last + after)
            return _answer(model, x[None], before, before + last - first, names)

    firsts = range(0, n_frames, chunk_frames)
    one_by_one = model.training or next(model.parameters()).device.type != "cpu"  # random draws
    yield from map(answer, firsts) if one_by_one else parallel_map(answer, firsts)


def _in_windows(
    model: Segmenter, n_frames: int, frames: Frames, names: Collection[str] | None
) -> Iterator[dict[str, np.ndarray]]:
    """Run in the windows that training uses, zeros beyond the session's ends."""
    length = model.settings["sequence_length"]
    before, after = model.shown_beside
    step = max(1, BATCH_FRAMES // length) * length
    for start in range(0, n_frames, step):
        firsts = range(start, min(start + step, n_frames), length)
        batch = torch.stack([frames(first - before, first + length + after) for first in firsts])
        answer = _answer(model, batch, before, before + length, names)
        yield {name: values[: n_frames - start] for name, values in answer.items()}


def _answer(
    model: Segmenter, x: Tensor, first: int, last: int, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Run windows (B, W, N); keep frames [first, last) of each, one after the other."""
    device = next(model.parameters()).device
    scores, embedding, tasks = model.classify(x.to(device))
    answer = {"scores": scores, "embedding": embedding}
    if tasks is not None:
        answer["task_predictions"] = tasks
    kept = {
        name: value[:, first:last].flatten(0, 1)
        for name, value in answer.items()
        if names is None or name in names
    }
    if names is None or "labels" in names:
        kept["labels"] = model.probabilities(scores[:, first:last].flatten(0, 1))
    return {name: value.float().cpu().numpy() for name, value in kept.items()}


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
    before, after = model.shown_beside
    step = max(1, BATCH_FRAMES // (dataset.sequence_length + before + after))
    for start in range(0, dataset.n_sequences, step):
        numbers = range(start, min(start + step, dataset.n_sequences))
        sequences = [dataset[i] for i in numbers]
        x = torch.stack([torch.as_tensor(sequence["markers"]) for sequence in sequences])
        answer = _answer(model, x, 0, x.shape[1])
        for i, sequence in enumerate(sequences):
            rows = slice(i * x.shape[1], (i + 1) * x.shape[1])
            values = {name: value[rows] for name, value in answer.items()}
            if remove_pad:
                real = np.asarray(sequence["frame_mask"].cpu())[before : x.shape[1] - after]
                inside = slice(before, x.shape[1] - after)
                values = {name: value[inside][real] for name, value in values.items()}
            yield values


def export_states(
    model: Segmenter, data_generator: Any, save_dir: str | os.PathLike[str]
) -> list[Path]:
    """Write ``<sess_id>_states.npy`` for every session: its probabilities, a row for each frame.

    Each file holds float32 (T, C) and is written whole or not at all, chunk by chunk as frames are
    answered, so that memory does not grow with the length of a session; several sessions are
    answered at a time. A progress bar shows on a terminal. Returns the paths, in the order of the
    sessions.
    """
    from tqdm import tqdm

    sessions = [dataset.session for dataset in data_generator.datasets]
    paths = [Path(save_dir) / f"{sess_id}_states.npy" for sess_id in data_generator.ids]
    # disable=None: no bar where the output is no terminal
    bar = tqdm(
        total=sum(map(len, sessions)), unit="frame", unit_scale=True, desc="predict", disable=None
    )

    def write(job: tuple[Session, Path]) -> Path:
        session, path = job
        with replacing(path) as temporary:
            for n_frames in _write_states(model, session, temporary):
                with bar.get_lock():  # it counts for several threads
                    bar.update(n_frames)
        return path

    with bar, _running(model, "eval"):
        return list(parallel_map(write, list(zip(sessions, paths, strict=True))))


def predict_session(
    model: Segmenter,
    session: Session,
    chunk_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Predict every frame of one session, normalised as it comes along.

    The same probabilities as `predict_inputs` gives, (T, C) float32; only they take memory.
    `progress` is called with the frames that are done, and with all, as they grow.
    """
    states = np.empty((len(session), model.hparams["output_size"]), dtype=np.float32)
    done = 0
    for n_frames in _fill_states(model, session, states, chunk_frames):
        done += n_frames
        if progress is not None:
            progress(done, len(session))
    return states


def _write_states(model: Segmenter, session: Session, path: Path) -> Iterator[int]:
    """Write a session's probabilities; yield the number of frames of each part written."""
    shape = (len(session), model.hparams["output_size"])
    states = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    yield from _fill_states(model, session, states)
    states.flush()


def _fill_states(
    model: Segmenter, session: Session, states: np.ndarray, chunk_frames: int | None = None
) -> Iterator[int]:
    """Fill (T, C) states part by part; yield the number of frames of each."""
    first = 0

    def frames(start: int, stop: int) -> Tensor:
        return torch.from_numpy(session.normalised_window(start, stop))

    with _running(model, "eval"):
        chunk = chunk_frames or _chunk_frames(model)
        for part in _parts(model, len(session), frames, chunk, names=("labels",)):
            n_frames = len(part["labels"])
            states[first : first + n_frames] = part["labels"]
            first += n_frames
            yield n_frames
