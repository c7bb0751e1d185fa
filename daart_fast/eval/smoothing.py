"""From probabilities to classes that change as seldom as behaviour does.

Four ways, of which none is the default:

- ``bouts``: bouts shorter than so many frames give way to a neighbour, the shortest first;
- ``median``: the likeliest class of each class's running median of probability;
- ``hmm``: the likeliest sequence of classes under a hidden Markov model (Viterbi 1967), whose
  transitions are those of the training labels;
- ``semi-markov``: the same, with bouts as long as those of the training labels are (explicit
  durations: Ferguson 1980; here log-normal, with a geometric tail).

The last two take a network's probability over the class's share of the training frames as the
likelihood of a frame (Bourlard and Morgan 1994). Neighbouring frames hardly differ, so what they
say is no independent evidence: ``strength``, up to 1, is the power each frame's likelihood has.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.compiled import jit
from daart_fast.errors import DataError
from daart_fast.eval.segments import bouts
from daart_fast.files import replacing

__all__ = ["METHODS", "Smoother", "learn_durations", "learn_transitions", "median", "merge_bouts"]

METHODS = ("bouts", "median", "hmm", "semi-markov")

#: Frames of a bout whose duration is modelled as it is; longer ones end at a constant rate.
LONGEST = 1000
#: The longest bout or window that anybody can mean.
MOST_FRAMES = 10_000_000
#: Where the model's probabilities are kept from 0.
LEAST = 1e-6
#: The share of bouts whose length is anything.
UNLIKE = 0.05


@dataclass(frozen=True)
class Smoother:
    """One way to smooth, with what it has learned.

    Attributes
    ----------
    method
        of `METHODS`, or None: the likeliest class of each frame
    n_frames
        bouts: the shortest bout; median: the window
    strength
        hmm, semi-markov: the power of each frame's likelihood
    prior
        hmm, semi-markov: (C,) shares of the classes that the probabilities stand for; a class of
        share 0 is never predicted
    transitions
        hmm, semi-markov: (C, C) probability of each class (columns) after each (rows)
    durations
        semi-markov: (C, 2) mean and spread of the logarithm of bout lengths in frames
    multibinary
        whether the columns are behaviours that may occur at once
    """

    method: str | None = None
    n_frames: int = 1
    strength: float = 1.0
    prior: list[float] = field(default_factory=list)
    transitions: list[list[float]] = field(default_factory=list)
    durations: list[list[float]] = field(default_factory=list)
    multibinary: bool = False

    def __call__(self, probabilities: ArrayLike) -> np.ndarray:
        """Return (T,) int64 classes of (T, C) probabilities; multibinary (T, C) of 0 and 1."""
        states = np.asarray(probabilities, dtype=np.float64)
        if states.ndim != 2:
            raise DataError(
                f"expected probabilities of shape (frames, classes), got {states.shape}"
            )
        if self.multibinary:
            single = Smoother(self.method, self.n_frames)
            each = [single(np.stack([1 - p, p], axis=1)) for p in states.T]
            return np.stack(each, axis=1)
        if self.method == "bouts":
            return merge_bouts(states, self.n_frames)
        if self.method == "median":
            return median(states, self.n_frames).argmax(1)
        if self.method in ("hmm", "semi-markov") and len(states):
            return self._viterbi(states)
        return states.argmax(1)

    def _viterbi(self, states: np.ndarray) -> np.ndarray:
        prior, transitions = np.asarray(self.prior), np.asarray(self.transitions)
        if states.shape[1] != len(prior):
            raise DataError(f"expected {len(prior)} classes, got {states.shape[1]}")
        known = np.flatnonzero(prior > 0)
        evidence = self.strength * (np.log(states[:, known] + LEAST) - np.log(prior[known]))
        evidence = np.ascontiguousarray(evidence)
        moves = np.log(transitions[np.ix_(known, known)] + LEAST)
        path = np.empty(len(states), dtype=np.int64)
        if self.method == "hmm":
            _viterbi()(evidence, moves, path, np.empty(evidence.shape, np.int64))
        else:
            np.fill_diagonal(moves, -np.inf)
            lasting = log_durations(np.asarray(self.durations)[known], LONGEST)
            _semi_markov()(evidence, moves, *lasting, path)
        return known[path]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as JSON."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Smoother:
        """Read what `save` wrote."""
        try:
            smoother = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            smoother._check()
        except Exception as error:  # of JSON that may hold anything
            raise DataError(f"{path}: expected a smoother's settings: {error}") from None
        return smoother

    def _check(self) -> None:
        """Raise a ValueError if the settings are not such as a training leaves."""
        if self.method is not None and self.method not in METHODS:
            raise ValueError(f"'method' is {self.method!r}")
        if type(self.n_frames) is not int or not 1 <= self.n_frames <= MOST_FRAMES:
            raise ValueError(f"'n_frames' is {self.n_frames!r}")
        if self.method not in ("hmm", "semi-markov"):
            return
        n = len(self.prior)
        shapes = {"strength": (), "prior": (n,), "transitions": (n, n)}
        if self.method == "semi-markov":
            shapes["durations"] = (n, 2)
        for name, shape in shapes.items():
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != shape or not np.isfinite(values).all() or values.min() < 0:
                raise ValueError(f"'{name}' is not of shape {shape}, finite and 0 or above")
        if not any(self.prior):
            raise ValueError("'prior' is 0 for every class")


# ------------------------------------------------------------------------------ bouts, median


def merge_bouts(probabilities: np.ndarray, n_frames: int) -> np.ndarray:
    """Give bouts shorter than n_frames to a neighbour, the shortest (of equals the first) first.

    Of two neighbours the one takes it whose class is likelier over its frames. Nothing is left
    that is shorter, unless the whole session is.

    Parameters
    ----------
    probabilities
        (T, C)
    n_frames
        the shortest bout

    Returns
    -------
    (T,) int64
    """
    found = bouts(probabilities.argmax(1))
    labels, starts, stops = (found[:, i].tolist() for i in range(3))
    before = list(range(-1, len(found) - 1))
    after = [*range(1, len(found)), -1]
    queue = [(stops[i] - starts[i], starts[i], i) for i in range(len(found))]
    heapq.heapify(queue)
    gone = [False] * len(found)
    total = np.concatenate([np.zeros((1, probabilities.shape[1])), probabilities.cumsum(0)])

    def absorb(i: int, other: int) -> None:
        """Bout i takes the frames of a neighbour."""
        gone[other] = True
        starts[i], stops[i] = min(starts[i], starts[other]), max(stops[i], stops[other])
        if before[i] == other:
            before[i] = before[other]
            if before[i] >= 0:
                after[before[i]] = i
        else:
            after[i] = after[other]
            if after[i] >= 0:
                before[after[i]] = i

    while queue:
        length, _, i = heapq.heappop(queue)
        if length >= n_frames:
            break
        if gone[i] or length != stops[i] - starts[i]:
            continue  # it has been taken, or has grown
        here = total[stops[i]] - total[starts[i]]
        neighbours = [j for j in (before[i], after[i]) if j >= 0]
        if not neighbours:
            break
        labels[i] = labels[max(neighbours, key=lambda j: here[labels[j]])]
        for j in neighbours:
            if labels[j] == labels[i]:
                absorb(i, j)
        heapq.heappush(queue, (stops[i] - starts[i], starts[i], i))
    classes = np.empty(len(probabilities), dtype=np.int64)
    for i, label in enumerate(labels):
        if not gone[i]:
            classes[starts[i] : stops[i]] = label
    return classes


def median(probabilities: np.ndarray, n_frames: int) -> np.ndarray:
    """Return the running median of each column, over n_frames (odd; an even number has one more).

    At the ends of the session the window is cut off. Of an even number of values the median is the
    mean of the two in the middle.
    """
    import pandas as pd

    window = 2 * (max(int(n_frames), 1) // 2) + 1
    rolling = pd.DataFrame(probabilities).rolling(window, center=True, min_periods=1)
    return rolling.median().to_numpy()


# ------------------------------------------------------------------------------ learning


def learn_transitions(labels: Sequence[np.ndarray], n_classes: int) -> np.ndarray:
    """Count which class follows which, frame by frame.

    Parameters
    ----------
    labels
        (T,) integers of each session; a pair of frames counts where both are labelled.
    n_classes
        Classes in all.

    Returns
    -------
    (n_classes, n_classes) float64; rows sum to 1. Every pair is counted once more than it
    occurs, so nothing is impossible.
    """
    counts = np.ones((n_classes, n_classes))
    for track in labels:
        pairs = np.stack([track[:-1], track[1:]])
        pairs = pairs[:, (pairs >= 0).all(0)]
        np.add.at(counts, tuple(pairs), 1.0)
    return counts / counts.sum(1, keepdims=True)


def learn_durations(labels: Sequence[np.ndarray], n_classes: int) -> np.ndarray:
    """Fit a log-normal distribution to the lengths of each class's bouts.

    Bouts that begin or end where labels do are longer than they look: they count only where a
    class has fewer than three others. A class without bouts gets the mean of the rest.

    Returns
    -------
    (n_classes, 2) float64: mean and spread (at least 0.3) of the logarithm of the length in frames
    """
    whole: list[list[int]] = [[] for _ in range(n_classes)]
    cut: list[list[int]] = [[] for _ in range(n_classes)]
    for track in labels:
        for label, start, stop in bouts(track).tolist():
            inside = start > 0 and stop < len(track) and track[start - 1] >= 0 and track[stop] >= 0
            (whole if inside else cut)[label].append(stop - start)
    fitted = np.full((n_classes, 2), np.nan)
    for label in range(n_classes):
        lengths = whole[label] if len(whole[label]) >= 3 else whole[label] + cut[label]
        if lengths:
            logs = np.log(lengths)
            fitted[label] = logs.mean(), max(logs.std(), 0.3)
    known = ~np.isnan(fitted[:, 0])
    fitted[~known] = fitted[known].mean(0) if known.any() else (np.log(30.0), 1.0)
    return fitted


def log_durations(durations: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what log-normal durations say of each length.

    Returns
    -------
    ends : (C, longest) float64
        log probability that a bout lasts 1, 2, ... frames
    lasts : (C,) float64
        log probability that it lasts longer than that
    stays : (C,) float64
        log probability that such a long one goes on for another frame
    """
    lengths = np.arange(1, 40 * longest)
    mean, spread = durations[:, :1], durations[:, 1:]
    shares = np.exp(-0.5 * ((np.log(lengths) - mean) / spread) ** 2) / (lengths * spread)
    shares /= shares.sum(1, keepdims=True)
    # some bouts are like none that was labelled: without them a long one would be cut up
    geometric = (1 - 1 / longest) ** (lengths - 1) / longest
    shares = (1 - UNLIKE) * shares + UNLIKE * geometric
    lasts = shares[:, longest:].sum(1)
    stays = 1 - shares[:, longest] / lasts
    return np.log(shares[:, :longest]), np.log(lasts), np.log(stays)


# ------------------------------------------------------------------------------ loops


def _viterbi_loop(evidence: Any, moves: Any, path: Any, best_from: Any) -> None:
    """Fill the likeliest path (T,). best_from (T, C) is overwritten."""
    n_frames, n_classes = evidence.shape
    score = evidence[0].copy()
    new = score.copy()
    for t in range(1, n_frames):
        for c in range(n_classes):
            best = 0
            for k in range(1, n_classes):
                if score[k] + moves[k, c] > score[best] + moves[best, c]:
                    best = k
            best_from[t, c] = best
            new[c] = score[best] + moves[best, c] + evidence[t, c]
        score[:] = new
    path[n_frames - 1] = score.argmax()
    for t in range(n_frames - 1, 0, -1):
        path[t - 1] = best_from[t, path[t]]


def _semi_markov_loop(
    evidence: Any, moves: Any, ends: Any, lasts: Any, stays: Any, path: Any
) -> None:
    """Fill the likeliest path (T,) of bouts whose lengths have the log probabilities given.

    The session's ends cut bouts off: its first and last one may have any length for free.
    """
    n_frames, n_classes = evidence.shape
    longest = ends.shape[1]
    leaves = np.log(1.0 - np.exp(stays))
    total = np.zeros((n_frames + 1, n_classes))  # sums of evidence
    for t in range(n_frames):
        for c in range(n_classes):
            total[t + 1, c] = total[t, c] + evidence[t, c]
    start = np.zeros((n_frames + 1, n_classes))  # best score with a bout of c that starts at t
    came = np.zeros((n_frames + 1, n_classes), np.int64)  # the class of the bout before it
    score = np.zeros((n_frames + 1, n_classes))  # best score with a bout of c that ends before t
    begun = np.zeros((n_frames + 1, n_classes), np.int64)  # where that bout started
    tail = np.full(n_classes, -1e300)  # best score within a long bout
    tail_begun = np.zeros(n_classes, np.int64)
    for t in range(1, n_frames + 1):
        for c in range(n_classes):
            best, where = total[t, c], 0  # one bout so far
            for d in range(1, min(longest, t - 1) + 1):
                s = t - d
                length = ends[c, d - 1] if t < n_frames else 0.0
                candidate = start[s, c] + total[t, c] - total[s, c] + length
                if candidate > best:
                    best, where = candidate, s
            if t > 1:
                grown = tail[c] + stays[c] + evidence[t - 1, c]
                s = t - longest - 1
                if s > 0:
                    fresh = start[s, c] + total[t, c] - total[s, c] + lasts[c]
                    if fresh > grown:
                        grown = fresh
                        tail_begun[c] = s
                tail[c] = grown
                ended = grown + (leaves[c] if t < n_frames else 0.0)
                if ended > best:
                    best, where = ended, tail_begun[c]
            score[t, c], begun[t, c] = best, where
        for c in range(n_classes):
            best_k = 0 if c != 0 or n_classes == 1 else 1
            for k in range(n_classes):
                if score[t, k] + moves[k, c] > score[t, best_k] + moves[best_k, c]:
                    best_k = k
            start[t, c], came[t, c] = score[t, best_k] + moves[best_k, c], best_k
    c, t = score[n_frames].argmax(), n_frames
    while t > 0:
        s = begun[t, c]
        path[s:t] = c
        c, t = came[s, c], s


@cache
def _viterbi() -> Callable[..., None]:
    from numba import types

    rows = types.float64[:, ::1]
    return jit(_viterbi_loop, types.void(rows, rows, types.int64[::1], types.int64[:, ::1]))


@cache
def _semi_markov() -> Callable[..., None]:
    from numba import types

    rows, row = types.float64[:, ::1], types.float64[::1]
    return jit(_semi_markov_loop, types.void(rows, rows, rows, row, row, types.int64[::1]))
