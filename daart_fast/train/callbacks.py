"""What happens at set moments of a training: early stopping, annealing, pseudo-labels.

A callback of your own derives from `BaseCallback` and overrides the hooks it needs. Each hook is
called with keyword arguments, ``trainer``, ``model``, ``data_generator`` and ``logger`` (None
before the first row of metrics.csv) among them; take ``**kwargs`` for the rest. Setting
``trainer.should_halt = True`` ends the training.
"""

from __future__ import annotations

import logging
import math
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daart_fast.config import with_defaults
from daart_fast.data.ignored import IGNORED
from daart_fast.errors import ConfigError, did_you_mean
from daart_fast.experiment.notes import best_losses, leave_note, read_note
from daart_fast.models.predict import predict_inputs

__all__ = [
    "UPS",
    "AnnealHparam",
    "BaseCallback",
    "EarlyStopping",
    "MedianPruning",
    "PseudoLabels",
    "collect_callbacks",
]


class BaseCallback:
    """A callback that does nothing.

    What a callback changes in ``model.loss_weights`` the checkpoint keeps; what it remembers
    itself, it must hand over in `state_dict` for an interrupted training to go on as if nothing
    had happened, and for a trainer's next `fit` to start without it.
    """

    def on_fit_start(self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any) -> None:
        """Training starts, or goes on: a checkpoint, if there was one, has been read."""

    def on_epoch_start(
        self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any
    ) -> None:
        """Epoch ``trainer.curr_epoch`` starts. Not called again if it is resumed midway."""

    def on_val_check(
        self, *, trainer: Any, model: Any, data_generator: Any, loss: float, **kwargs: Any
    ) -> None:
        """The validation split was evaluated; ``loss`` is NaN where it has nothing to score."""

    def on_epoch_end(self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any) -> None:
        """Epoch ``trainer.curr_epoch`` is over and logged."""

    def state_dict(self) -> dict[str, Any]:
        """Return what to keep in a checkpoint: numbers, strings, tensors, lists and dicts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""


class EarlyStopping(BaseCallback):
    """Ends the training when the validation loss no longer falls.

    A validation that scored nothing (a loss of NaN) says nothing, and isn't counted.

    Parameters
    ----------
    patience
        How many validations in a row without a better loss end it (validations, not epochs), once
        more than the trainer's ``min_epochs`` epochs have been trained.
    delta
        How much lower a loss must be to count as better.
    """

    def __init__(self, patience: int = 10, delta: float = 0.0) -> None:
        self.patience = patience
        self.delta = delta
        self.counter = 0
        self.best_epoch = 0
        self.best_loss = math.inf

    def on_val_check(
        self, *, trainer: Any, model: Any, data_generator: Any, loss: float, **kwargs: Any
    ) -> None:
        """Count the validations since the best one."""
        if math.isnan(loss):
            return
        if loss < self.best_loss - self.delta:
            self.best_loss, self.best_epoch, self.counter = loss, trainer.curr_epoch, 0
        else:
            self.counter += 1
        if trainer.curr_epoch > trainer.min_epochs and self.counter >= self.patience:
            trainer.should_halt = True
            logging.info(
                f"stopped early in epoch {trainer.curr_epoch}: no validation loss below "
                f"{self.best_loss:.6g}, that of epoch {self.best_epoch}, "
                f"in {self.counter} validations"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the count and the best loss."""
        return {name: getattr(self, name) for name in ("counter", "best_epoch", "best_loss")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self.counter = state["counter"]
        self.best_epoch = state["best_epoch"]
        self.best_loss = state["best_loss"]


class MedianPruning(BaseCallback):
    """Ends the training of a search's trial that does worse than most of the others.

    At the end of each epoch from `epochs` on, the trial's best validation loss is compared with
    the best that the other trials had at the end of the same epoch: above their median, it stops.
    Trials that ended earlier count with the best they came to, those that were stopped among them:
    without them the survivors would be halved in every epoch. Trials read each other's
    ``metrics.csv``, so it does not matter on which machine they run.

    Parameters
    ----------
    notes
        The folder in which each trial leaves a note of where its own folder is; None for a trial
        that has no others.
    trial
        The trial's number.
    epochs
        The first epoch in which to stop.
    at_least
        How many others must have come so far.
    """

    def __init__(
        self, notes: str | os.PathLike[str] | None, trial: int, epochs: int, at_least: int = 2
    ) -> None:
        self.notes, self.trial = Path(notes) if notes else None, trial
        self.epochs, self.at_least = epochs, at_least

    def on_fit_start(self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any) -> None:
        """Tell the other trials where to look."""
        self._leave_note(trainer, ended=trainer.should_halt)

    def on_epoch_end(self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any) -> None:
        """Compare with the others; tell them if this was the last epoch."""
        epoch = trainer.curr_epoch
        if self.epochs <= epoch < trainer.max_epochs and not trainer.should_halt:
            self._compare(trainer, model)
        if trainer.should_halt or epoch >= trainer.max_epochs:
            self._leave_note(trainer, ended=True)

    def _compare(self, trainer: Any, model: Any) -> None:
        if self.notes is None or trainer.folder is None:
            return
        # its own loss is read as theirs are: no digit more or less
        loss = best_losses(trainer.folder).get(trainer.curr_epoch, math.inf)
        other_losses = self._others(trainer.curr_epoch)
        if math.isinf(loss) or len(other_losses) < self.at_least:
            return
        median = statistics.median(other_losses)
        if loss <= median:
            return
        trainer.should_halt = True
        model.hparams["pruned_epoch"] = trainer.curr_epoch
        logging.info(
            f"pruned in epoch {trainer.curr_epoch}: its validation loss {loss:.6g} "
            f"is above {median:.6g}, the median of {len(other_losses)} others"
        )

    def _others(self, epoch: int) -> list[float]:
        """Return each other trial's best loss up to the end of an epoch, or up to its own end.

        Those still on their way there are left out.
        """
        assert self.notes is not None
        losses = []
        for file in self.notes.glob("*"):
            if not file.name.isdigit() or file.name == str(self.trial):
                continue
            note = read_note(file)
            best = best_losses(note["folder"])
            if note["ended"] or max(best, default=-1) >= epoch:
                losses.append(min((best[e] for e in best if e <= epoch), default=math.inf))
        return [loss for loss in losses if loss < math.inf]

    def _leave_note(self, trainer: Any, ended: bool) -> None:
        if self.notes is not None and trainer.folder is not None:
            leave_note(self.notes, self.trial, trainer.folder, ended)


class AnnealHparam(BaseCallback):
    """Raises the weight of a loss from `val_start` to its value in hparams.

    It is `val_start` before `epoch_start`, the value in hparams from `epoch_end` on, and on the
    straight line between. The weight changes in ``model.loss_weights``; hparams, which are saved
    with the model, are only read.

    Parameters
    ----------
    hparams
        Holds the final value.
    key
        Which: ``lambda_weak``, ``lambda_pred``, ..., or ``kl_weight``, whose final value is 1.
    epoch_start, epoch_end
        When.
    val_start
        The first value.
    """

    def __init__(
        self,
        hparams: Mapping[str, Any],
        key: str,
        epoch_start: int,
        epoch_end: int,
        val_start: float = 0.0,
    ) -> None:
        if epoch_start > epoch_end:
            raise ConfigError(
                f"annealing {key} starts in epoch {epoch_start}, after its end ({epoch_end})"
            )
        known = [name for name in hparams if name.startswith("lambda_")] + ["kl_weight"]
        if key not in known:
            raise ConfigError(
                f"cannot anneal '{key}': expected one of {', '.join(known)}"
                + did_you_mean(key, known)
            )
        self.key = key
        self.epoch_start = epoch_start
        self.epoch_end = epoch_end
        self.val_start = val_start
        self.val_end = 1.0 if key == "kl_weight" else float(hparams[key])

    def value(self, epoch: int) -> float:
        """Return the weight in an epoch."""
        if epoch >= self.epoch_end:
            return self.val_end
        if epoch < self.epoch_start:
            return self.val_start
        fraction = (epoch - self.epoch_start) / (self.epoch_end - self.epoch_start)
        return self.val_start + fraction * (self.val_end - self.val_start)

    def on_epoch_start(
        self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any
    ) -> None:
        """Set the epoch's weight."""
        value = self.value(trainer.curr_epoch)
        if self.key == "kl_weight":
            model.kl_weight = value
        else:
            model.loss_weights[self.key.removeprefix("lambda_")] = value


class PseudoLabels(BaseCallback):
    """Labels the frames of which the model is sure, and trains on these labels too.

    From epoch `epoch_start` on, each epoch starts with a prediction of every session that has
    training sequences, those without any hand labels among them. A frame whose likeliest class
    has a probability of `prob_threshold` or more gets that class as its weak label; the others get
    none (Lee 2013, "Pseudo-Label"). With classifier_type multibinary each behaviour is labelled on
    its own: present from `prob_threshold` on, absent up to ``1 - prob_threshold``.

    The model's weak loss counts only frames without a hand label, the generator shows these
    labels in training batches alone, and nothing of it reaches the validation loss or hparams.

    Parameters
    ----------
    prob_threshold
        The probability that makes a label.
    epoch_start
        The first epoch with pseudo-labels.
    """

    def __init__(self, prob_threshold: float = 0.95, epoch_start: int = 10) -> None:
        self.prob_threshold = prob_threshold
        self.epoch_start = epoch_start
        self._labels: dict[
            int, torch.Tensor
        ] = {}  # by session, in the smallest type that holds them

    def label(self, model: Any, inputs: np.ndarray) -> np.ndarray:
        """Label a session.

        Parameters
        ----------
        model
            A `Segmenter`.
        inputs
            (T, N) float32, normalised.

        Returns
        -------
        (T,) int64, -100 where the model is not sure; multibinary (T, C) float32, NaN there.
        """

        probabilities = predict_inputs(model, inputs)["labels"]
        return self._choose(model, probabilities, np.ones(probabilities.shape, dtype=bool))

    def _choose(self, model: Any, probabilities: np.ndarray, certain: np.ndarray) -> np.ndarray:
        """Turn (T, C) probabilities into labels, where they are (T, C) `certain`."""
        if model.classifier_type == "multibinary":
            labels = np.full(probabilities.shape, np.nan, dtype=np.float32)
            labels[certain & (probabilities >= self.prob_threshold)] = 1
            labels[certain & (probabilities <= 1 - self.prob_threshold)] = 0
            return labels
        likeliest = probabilities.argmax(1)
        rows = np.arange(len(probabilities))
        sure = (probabilities[rows, likeliest] >= self.prob_threshold) & certain[rows, likeliest]
        return np.where(sure, likeliest, IGNORED)

    def on_fit_start(self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any) -> None:
        """Give the labels that a checkpoint held to the generator."""
        for session, labels in self._labels.items():
            data_generator.set_pseudo_labels(session, self._unpack(labels))

    def on_epoch_start(
        self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any
    ) -> None:
        """Label the training sessions again."""
        if trainer.curr_epoch < self.epoch_start:
            return
        for session in data_generator.training_sessions:
            labels = self.label(model, data_generator.datasets[session].normalised_inputs())
            self._labels[session] = self._pack(labels)
            data_generator.set_pseudo_labels(session, labels)

    def state_dict(self) -> dict[str, Any]:
        """Return the labels, which a training that resumes within an epoch cannot make again."""
        return {"labels": self._labels}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._labels = dict(state["labels"])

    @staticmethod
    def _pack(labels: np.ndarray) -> torch.Tensor:
        if labels.dtype == np.float32:
            return torch.from_numpy(np.nan_to_num(labels, nan=IGNORED).astype(np.int8))
        return torch.from_numpy(labels.astype(np.int8 if labels.max() < 128 else np.int32))

    @staticmethod
    def _unpack(labels: torch.Tensor) -> np.ndarray:
        if labels.ndim == 1:
            return labels.numpy().astype(np.int64)
        return np.where(labels == IGNORED, np.nan, labels).astype(np.float32)


class UPS(PseudoLabels):
    """Pseudo-labels only where the model is sure and its answer is stable.

    Uncertainty-aware pseudo-label selection (Rizve et al. 2021, arXiv 2101.06329). Each session is
    predicted `n_passes` times with dropout left on (MC dropout). A frame is labelled with a class
    if the mean of the class's probability is at least `prob_threshold` (their tau_p) and its
    standard deviation over the passes at most `variance_threshold` (their kappa_p, which bounds
    the standard deviation too; the name is daart's).

    Of the paper, this is the selection of positive labels. Its negative labels ("surely not class
    c") are used with classifier_type multibinary, where they are plain targets, by the mirrored
    thresholds; a softmax classifier learns from none. Labels are chosen again in each epoch of one
    training, where the paper starts over from fresh weights after each choice.

    A model without dropout gives the same answer in every pass. Then this is `PseudoLabels`, and
    the log says so.

    Parameters
    ----------
    prob_threshold
        The mean probability that makes a label.
    variance_threshold
        The standard deviation it may have.
    epoch_start
        The first epoch with pseudo-labels.
    n_passes
        How often each session is predicted; 10 in the paper.
    """

    def __init__(
        self,
        prob_threshold: float = 0.9,
        variance_threshold: float = 0.05,
        epoch_start: int = 10,
        n_passes: int = 10,
    ) -> None:
        super().__init__(prob_threshold, epoch_start)
        self.variance_threshold = variance_threshold
        self.n_passes = n_passes

    def on_fit_start(self, *, trainer: Any, model: Any, data_generator: Any, **kwargs: Any) -> None:
        """Say so if there is no dropout to tell the uncertainty by."""
        super().on_fit_start(trainer=trainer, model=model, data_generator=data_generator)
        if model.hparams["backbone"] != "dtcn" or not model.settings["dropout"]:
            logging.warning("ups: this model has no dropout, so it chooses as pseudo_labels does")

    def label(self, model: Any, inputs: np.ndarray) -> np.ndarray:
        """Label a session, as `PseudoLabels.label` does."""

        # Welford's running mean and sum of squares: one pass in memory at a time
        mean = squares = np.zeros(1)
        for n in range(1, self.n_passes + 1):
            probabilities = predict_inputs(model, inputs, mode="train")["labels"].astype(float)
            step = probabilities - mean
            mean = mean + step / n
            squares = squares + step * (probabilities - mean)
        spread = np.sqrt(squares / max(self.n_passes - 1, 1))
        return self._choose(model, mean, spread <= self.variance_threshold)


def collect_callbacks(hparams: Mapping[str, Any]) -> list[BaseCallback]:
    """Make the callbacks that hparams ask for.

    Parameters
    ----------
    hparams
        Read: enable_early_stop, early_stop_history, min_epochs; search_pruning,
        search_pruning_epochs (and search_notes, search_trial, which a search sets);
        semi_supervised_algo, lambda_weak, prob_threshold, variance_threshold, anneal_start,
        anneal_end.

    Returns
    -------
    list of BaseCallback
        With a semi_supervised_algo, pseudo-labels are made from epoch anneal_start on, and the
        weight of their loss rises from 0 in that epoch to lambda_weak in epoch anneal_end.

    Raises
    ------
    ConfigError
        There is no such semi_supervised_algo.
    """
    callbacks: list[BaseCallback] = []
    settings = with_defaults(hparams)
    if settings["enable_early_stop"]:
        callbacks.append(EarlyStopping(patience=settings["early_stop_history"]))
    if settings["search_pruning"]:  # by itself too: a checkpoint fits its callbacks alone
        notes, trial = hparams.get("search_notes"), hparams.get("search_trial", 0)
        callbacks.append(MedianPruning(notes, trial, settings["search_pruning_epochs"]))
    algorithm = settings["semi_supervised_algo"]
    if algorithm in (None, "none"):
        return callbacks
    if algorithm not in ("pseudo_labels", "ups"):
        raise ConfigError(
            f"semi_supervised_algo must be pseudo_labels, ups or null, not '{algorithm}'"
            + did_you_mean(algorithm, ("pseudo_labels", "ups"))
        )
    start, end = settings["anneal_start"], settings["anneal_end"]
    threshold = settings["prob_threshold"]
    callbacks.append(AnnealHparam(settings, "lambda_weak", epoch_start=start, epoch_end=end))
    if algorithm == "ups":
        callbacks.append(UPS(threshold, settings["variance_threshold"], epoch_start=start))
    else:
        callbacks.append(PseudoLabels(threshold, epoch_start=start))
    _warn_of_no_effect(settings, algorithm)
    return callbacks


def _warn_of_no_effect(settings: Mapping[str, Any], algorithm: str) -> None:
    """Say so where the settings leave a semi-supervised algorithm little to do."""
    if not settings["lambda_weak"]:
        logging.warning(f"{algorithm} has no effect, as lambda_weak, the weight of its loss, is 0")
    last, anneal_end = settings["max_epochs"], settings["anneal_end"]
    if settings["enable_early_stop"]:
        last = min(last, settings["min_epochs"])
    if last < anneal_end:
        logging.warning(
            f"{algorithm} has its full weight from epoch {anneal_end} (anneal_end) on, "
            f"but training may end after epoch {last} (min_epochs with early stopping, max_epochs)"
        )
