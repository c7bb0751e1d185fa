"""The loop that fits a model."""

from __future__ import annotations

import copy
import logging
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daart_fast import ops
from daart_fast.config import DERIVED, KEYS, no_such_key
from daart_fast.data.description import differences
from daart_fast.errors import ConfigError, DataError
from daart_fast.eval.curves import plot_curves
from daart_fast.eval.figures import write
from daart_fast.experiment.stored import CHECKPOINT, WEIGHTS, export_hparams
from daart_fast.train import interruption
from daart_fast.train.background import Background
from daart_fast.train.checkpoint import (
    Checkpoint,
    get_rng_states,
    save_durably,
    seed_everything,
    set_rng_states,
    snapshot,
)
from daart_fast.train.graph import graph_step
from daart_fast.train.logger import Logger
from daart_fast.train.progress import Progress
from daart_fast.train.validation import ALL, evaluate

__all__ = ["DivergedError", "Trainer"]

LAST, METRICS = "last_model.pt", "metrics.csv"
PREFIXES = {"train": "tr", "val": "val", "test": "test"}


class DivergedError(ConfigError, RuntimeError):
    """The training loss stopped being a number before any weights proved themselves."""


class Trainer:
    """Fits a model on the training split, and keeps the weights that validate best.

    Epoch 0 only evaluates the untrained model; epochs 1 to `max_epochs` train. The validation
    split is evaluated every `val_check_interval` epochs and at the end. A validation loss that is
    NaN (no sequence with anything to score) is never the best.

    Every 10 s at most, and at the end, the whole state of the training is written to
    ``checkpoint.pt``; a training that was cut short goes on from there and ends bit for bit where
    it would have ended (on the CPU, with the same number of threads). On other data it refuses.

    Parameters
    ----------
    learning_rate
        Of Adam.
    l2_reg
        Weight decay.
    min_epochs
        Train longer than this before stopping early.
    max_epochs
        Train at most so long.
    val_check_interval
        Epochs from one validation to the next; may be a fraction.
    rng_seed_train
        Seeds the global random generators, which draw dropout and latents.
    save_last_model
        Whether to write the last weights too, as ``last_model.pt``.
    callbacks
        See `daart_fast.train.callbacks`.
    resume
        Whether to go on from a checkpoint in `save_path`, if there is one.
    plot_train_curves
        Whether to draw ``curves.png`` at the end.
    picture_format
        As what: ``png``, ``pdf``, ``svg``, or several as ``"png;pdf"``.
    checkpoint_interval
        Seconds from one checkpoint to the next, at least; 0 writes one after every batch.
    cuda_graph
        Whether to replay training steps as a CUDA graph, where the model is on such a device.
    **kwargs
        The other keys of hparams, which say nothing about the loop: all hparams can be passed.

    Raises
    ------
    ConfigError
        An argument is no parameter and no key.

    Attributes
    ----------
    curr_epoch : int
        The epoch now running.
    curr_batch : int
        Batches trained on so far, in all epochs.
    should_halt : bool
        A callback sets it to end the training after the batch now running.
    best_val_epoch : int or None
        The epoch of the best validation so far; None before the first.
    best_val_loss : float
        Its loss; infinite before the first.
    terms, sums : list of str, Tensor or None
        The names of the loss's terms, and their sums over the epoch's batches so far: (n_terms,)
        float64 on the model's device, None before the first batch.
    graph : GraphStep or None
        Takes the training steps on a CUDA device, unless ``cuda_graph`` is off.
    """

    def __init__(
        self,
        learning_rate: float = 1e-4,
        l2_reg: float = 0.0,
        min_epochs: int = 10,
        max_epochs: int = 200,
        val_check_interval: float = 1.0,
        rng_seed_train: int = 0,
        save_last_model: bool = False,
        callbacks: Sequence[Any] = (),
        resume: bool = True,
        plot_train_curves: bool = False,
        picture_format: str = "png",
        checkpoint_interval: float = 10.0,
        cuda_graph: bool = True,
        **kwargs: Any,
    ) -> None:
        for name, value in kwargs.items():
            # functions are test-tube's, which daart's scripts may pass too
            if name not in KEYS and name not in DERIVED and not callable(value):
                raise ConfigError(f"Trainer: {no_such_key(name, _NOT_IN_CONFIGS)}")
        self.learning_rate = learning_rate
        self.l2_reg = l2_reg
        self.min_epochs = min_epochs
        self.max_epochs = max_epochs
        self.val_check_interval = val_check_interval
        self.rng_seed_train = rng_seed_train
        self.save_last_model = save_last_model
        self.callbacks = list(callbacks or ())
        self._untouched = [
            (callback, copy.deepcopy(_state_of(callback))) for callback in self.callbacks
        ]
        self.resume = resume
        self.plot_train_curves = plot_train_curves
        self.picture_format = picture_format
        self.checkpoint_interval = checkpoint_interval
        self.cuda_graph = cuda_graph

    # ---------------------------------------------------------------------------- the whole

    def fit(
        self, model: Any, data_generator: Any, save_path: str | os.PathLike[str] | None = None
    ) -> None:
        """Train the model; it ends with the weights that validated best.

        Its ``hparams`` gain ``best_val_epoch`` and ``training_completed``.

        Parameters
        ----------
        model
            A `Segmenter`, on the device that the batches come on.
        data_generator
            A `DataGenerator`.
        save_path
            The folder for ``best_val_model.pt``, ``metrics.csv``, ``checkpoint.pt`` and the
            pictures, and for ``hparams.yaml`` where no experiment writes it; None writes nothing.

        Raises
        ------
        DivergedError
            The training loss became infinite or NaN before the first validation. Later than that,
            training ends with the best weights, and the log says why.
        DataError
            A checkpoint in `save_path` is of the same training on other data, or was changed.
        """
        self.prepare(model, data_generator, Path(save_path) if save_path is not None else None)
        if self._take_up():
            return
        self._call("on_fit_start")
        if self.cuda_graph:
            self.graph = graph_step(model, self.optimizer, data_generator, self.step)
        if self._rng_states is not None:
            set_rng_states(self._rng_states)
        try:
            done = self.curr_epoch * self._n_batches + self.epoch_batch
            progress = Progress(self.max_epochs, self._n_batches, done)
            with self._background, closing(progress) as self._progress:
                while self._goes_on():
                    self._run_epoch()
            self._finish()
        finally:
            if self._logger is not None:
                self._logger.close()

    def prepare(self, model: Any, data_generator: Any, folder: Path | None) -> None:
        """Bring everything to where an untrained model stands."""
        self.model, self.data_generator, self.folder = model, data_generator, folder
        for callback, state in self._untouched:  # what it remembers is of the fit before
            _put_back(callback, copy.deepcopy(state))
        # amsgrad and weight decay as daart has them
        self.optimizer = ops.Adam(model.get_parameters(), self.learning_rate, self.l2_reg)
        self.curr_epoch = self.curr_batch = self.epoch_batch = 0
        self.should_halt = False
        self.diverged: str | None = None
        self.best_val_loss, self.best_val_epoch = math.inf, None  # type: float, int | None
        self._best_weights: dict[str, Tensor] | None = None
        self._weights_on_disk: dict[str, Tensor] | None = None
        self._n_batches = int(data_generator.n_tot_batches["train"])
        self.terms: list[str] = []
        self.sums: Tensor | None = None
        self.graph = None
        self._logger: Logger | None = None
        self._checkpoint = Checkpoint(folder and folder / CHECKPOINT, self.checkpoint_interval)
        self._background: Background = Background()
        self._rng_states: dict[str, Any] | None = None
        self._data: dict[str, Any] | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._data = data_generator.description()
        seed_everything(self.rng_seed_train)

    @property
    def val_check_batch(self) -> list[int]:
        """After which batches, counted in all epochs, the validation split is evaluated."""
        last = self.max_epochs * self._n_batches
        interval = max(self.val_check_interval * self._n_batches, 1.0)
        due = [math.ceil(n * interval - 1e-6) for n in range(1, int(last / interval + 1e-9) + 1)]
        return sorted({*due, last} - {0})

    @property
    def ending(self) -> str:
        """When training ended, and whose weights are kept; empty where none were to be chosen."""
        best, last = self.best_val_epoch, self.curr_epoch - 1
        if best is None or last < best or self.diverged is not None:
            return ""
        if last >= self.max_epochs:
            return (
                f"trained for {last} epochs; the weights of epoch {best} are kept, whose "
                f"validation loss is the lowest"
            )
        early = last > best and "pruned_epoch" not in self.model.hparams
        why = f": the validation loss has not fallen for {last - best} epochs" if early else ""
        kept = f"the weights of epoch {best} are kept"
        return f"stopped at epoch {last} of {self.max_epochs}{why}; {kept}"

    # ---------------------------------------------------------------------------- one epoch

    def _goes_on(self) -> bool:
        """Whether there is an epoch to run, or the rest of one that was halted and cut short."""
        return self.curr_epoch <= self.max_epochs and (self.epoch_batch > 0 or not self.should_halt)

    def _run_epoch(self) -> None:
        """Run the epoch's batches, or, in a training that was resumed, those that are left."""
        if self.epoch_batch == 0:
            self.data_generator.reset_iterators("train")
            self.model.on_epoch_start(self.curr_epoch)
            self._call("on_epoch_start")
            self.sums = None
        trains = self.curr_epoch > 0
        self.model.train(trains)
        while self.epoch_batch < self._n_batches and not self.should_halt:
            self._take_batch(trains)
            self.epoch_batch += 1
            if trains:
                self.curr_batch += 1
                if self._validation_due():
                    self._validate()
            self._progress.step()
            if interruption.asked():
                self._write_checkpoint()
                self._background.wait()
                raise interruption.Interrupted(f"stopped in epoch {self.curr_epoch}, as asked")
            if self._checkpoint.due and not self._background.busy:
                self._write_checkpoint()
        self._log_training()
        self._call("on_epoch_end")
        self.curr_epoch += 1
        self.epoch_batch = 0

    def _take_batch(self, trains: bool) -> None:
        """Train on the next batch, or look at it, and add its terms to the epoch's sums."""
        if trains and self.graph is not None:
            self.terms, self.sums = self.graph(self.sums)
            return
        batch, _ = self.data_generator.next_batch("train")
        self.add(self.step(batch) if trains else self._look_at(batch))

    def step(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take one step of the optimiser."""
        terms: Mapping[str, Tensor] = self.model.losses_and_gradients(batch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return terms

    def _look_at(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with torch.no_grad():
            return self.model.losses(batch)

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add a batch's terms to the epoch's sums, without waiting for their values."""
        with torch.no_grad():
            values = torch.stack(list(terms.values()))
        if self.sums is None:
            self.terms = list(terms)
            self.sums = torch.zeros_like(values, dtype=torch.float64)
        self.sums += values

    def _training_means(self) -> dict[str, float]:
        """Average each term over the batches of the epoch so far: the one host copy.

        Ends the training if the loss is no longer a number.
        """
        if self.sums is None:
            return {}
        means = dict(zip(self.terms, (self.sums / self.epoch_batch).tolist(), strict=True))
        if not math.isfinite(means["loss"]) and self.diverged is None:
            bad = [name for name, mean in means.items() if not math.isfinite(mean)]
            self.diverged = (
                f"the training loss became {means['loss']} in epoch {self.curr_epoch} "
                f"({', '.join(bad)}); a lower learning_rate (now {self.learning_rate:g}) may help"
            )
            self.should_halt = True
        return means

    def _log_training(self) -> None:
        means = self._training_means()
        self._progress.report(loss=means.get("loss", math.nan))
        self._log("train", ALL, means, self.curr_epoch)

    # ---------------------------------------------------------------------------- validation

    def _validation_due(self) -> bool:
        """Whether the batch just trained on completes a validation interval, or the training."""
        if not self.data_generator.n_tot_batches["val"]:
            return False
        if self.curr_batch == self.max_epochs * self._n_batches:
            return True
        interval = max(self.val_check_interval * self._n_batches, 1.0)
        # a small addend, as 0.1 * 30 batches should be 3
        passed = math.floor(self.curr_batch / interval + 1e-9)
        return passed > math.floor((self.curr_batch - 1) / interval + 1e-9)

    def _validate(self) -> None:
        """Evaluate the validation split; keep the weights if they are the best so far."""
        self._training_means()
        scores = evaluate(self.model, self.data_generator, "val")
        loss = scores[ALL]["loss"]
        if loss < self.best_val_loss and self.diverged is None:
            self.best_val_loss, self.best_val_epoch = loss, self.curr_epoch
            self._best_weights = snapshot(self.model.state_dict())
        self._progress.report(val_loss=loss, best=self.best_val_loss)
        for session, terms in scores.items():
            self._log("val", session, terms, self.curr_epoch)
        self._call("on_val_check", loss=loss)

    # ---------------------------------------------------------------------------- the end

    def _finish(self) -> None:
        """Put the best weights in place, evaluate the test split, and write what is wanted."""
        if self.diverged is not None and self._best_weights is None:
            raise DivergedError(self.diverged)
        if self.diverged is not None:
            logging.warning(
                f"training ends here: {self.diverged}. "
                f"The weights of epoch {self.best_val_epoch} are kept"
            )
        elif self.save_last_model and self.folder is not None:
            self.model.save(self.folder / LAST)
        if self._best_weights is None:
            if self.curr_batch:
                logging.warning(
                    "no validation gave a loss (has the validation split any scored frame?): "
                    "the last weights are kept"
                )
            self._best_weights = snapshot(self.model.state_dict())
        self.model.load_state_dict(self._best_weights)
        self.model.eval()
        self._write_best(self._best_weights)
        if self.data_generator.n_tot_batches.get("test", 0):
            epoch = self.curr_epoch - 1 if self.best_val_epoch is None else self.best_val_epoch
            for session, terms in evaluate(self.model, self.data_generator, "test").items():
                self._log("test", session, terms, epoch)
        if self.plot_train_curves:
            self._plot()
        if self._logger is not None:
            self._logger.sync()
        self._checkpoint.write(
            {
                "completed": True,
                "best_val_epoch": self.best_val_epoch,
                "fingerprint": self._fingerprint(completed=True),
                "data": self._data,
            }
        )
        self._tell_hparams()
        self._write_hparams()
        logging.info(
            f"trained for {self.curr_epoch - 1} epochs; best validation loss "
            f"{self.best_val_loss:.6g} in epoch {self.best_val_epoch}"
        )

    def _tell_hparams(self) -> None:
        self.model.hparams["best_val_epoch"] = self.best_val_epoch
        self.model.hparams["training_completed"] = True

    def _write_hparams(self) -> None:
        """Write hparams.yaml for `Model.from_dir`, where no experiment does."""
        if self.folder is None or "tt_version_dir" in self.model.hparams:
            return
        generator = self.data_generator
        known = {
            "input_names": generator.input_names,
            "label_names": generator.label_names,
            "sequence_length": generator.datasets[0].sequence_length,
        }
        export_hparams(known | self.model.hparams, self.folder / "hparams.yaml")

    def _plot(self) -> None:
        if self.folder is None:
            return

        figure = plot_curves(self.folder / METRICS, list(self.data_generator.ids))
        write(figure, self.folder / "curves", self.picture_format)

    # ---------------------------------------------------------------------------- helpers

    def _call(self, hook: str, **kwargs: Any) -> None:
        given = {"trainer": self, "model": self.model, "data_generator": self.data_generator}
        for callback in self.callbacks:
            # a class of daart's scripts may have one hook only, and no BaseCallback
            if (function := getattr(callback, hook, None)) is not None:
                function(**given, logger=self._logger, **kwargs)
        if hasattr(self.model, "read_lambdas"):
            self.model.read_lambdas()  # which daart's callbacks change in model.hparams

    def _log(self, dtype: str, session: int, terms: Mapping[str, float], epoch: int) -> None:
        """Append a row to metrics.csv: these weights of this epoch, on this split and session."""
        if self._logger is None:
            self._logger = self._open_logger(keep=0)
        row: dict[str, float | None] = {
            "epoch": epoch,
            "batch": (self.epoch_batch or self._n_batches) - 1,
            "trial": -1,
            "dataset": session,
            "best_val_epoch": None if dtype == "train" else self.best_val_epoch,
        }
        row |= {f"{PREFIXES[dtype]}_{name}": value for name, value in terms.items()}
        self._logger.write(row)

    def _open_logger(self, keep: int) -> Logger:
        splits = [name for name in PREFIXES if self.data_generator.n_tot_batches.get(name, 0)]
        columns = ["epoch", "batch", "trial", "dataset", "best_val_epoch"]
        columns += [f"{PREFIXES[split]}_{term}" for split in splits for term in self.terms]
        return Logger(self.folder and self.folder / METRICS, columns, keep)

    # ---------------------------------------------------------------------------- checkpoints

    def _write_checkpoint(self) -> None:
        """Have a snapshot of the whole state written beside the batches that follow."""
        state = snapshot(
            {
                "fingerprint": self._fingerprint(),
                "data": self._data,
                "progress": {name: getattr(self, name) for name in _PROGRESS},
                "sums": self.sums,
                "terms": self.terms,
                "model": self.model.state_dict(),
                "loss_weights": dict(self.model.loss_weights),
                "optimizer": self.optimizer.state_dict(),
                "data_generator": self.data_generator.state_dict(),
                "callbacks": [_state_of(callback) for callback in self.callbacks],
                "metrics_size": self._logger.size if self._logger is not None else 0,
                "rng": get_rng_states(),
            }
        )
        state["best_weights"] = self._best_weights
        self._background.start(partial(self._write, state))
        if not self.checkpoint_interval:  # one after every batch: none may be left out
            self._background.wait()

    def _write(self, state: dict[str, Any]) -> None:
        """Bring the best weights, then the log, then the checkpoint that counts on both to disk."""
        self._write_best(state["best_weights"])
        if self._logger is not None:
            self._logger.sync()
        self._checkpoint.write(state)

    def _write_best(self, weights: dict[str, Tensor] | None) -> None:
        if self.folder is None or weights is None or weights is self._weights_on_disk:
            return
        save_durably(weights, self.folder / WEIGHTS)
        self._weights_on_disk = weights

    def _take_up(self) -> bool:
        """Go on from the checkpoint, if there is one that fits; return whether nothing is left."""
        state = self._checkpoint.read() if self.resume else None
        if state is None:
            return False
        try:
            return self._go_on_from(state)
        except DataError:
            raise
        except Exception as error:  # somebody has changed what it holds
            raise DataError(
                f"{self._checkpoint.file}: no training can go on from it ({error!r}); without this "
                "file, or with resume: false, it starts from the beginning"
            ) from error

    def _go_on_from(self, state: Mapping[str, Any]) -> bool:
        completed = bool(state.get("completed"))
        now, then = self._fingerprint(completed), state.get("fingerprint", {})
        changed = sorted(name for name in now | then if now.get(name) != then.get(name))
        if not set(changed) - set(_OF_DATA):
            self._refuse_other_data(state["data"])
        if changed:
            logging.warning(
                f"{self._checkpoint.file}: belongs to a training with another "
                f"{', '.join(changed)}, so training starts from the beginning"
            )
            return False
        if completed:
            return self._take_up_completed(state)
        self._restore(state)
        logging.info(f"going on in epoch {self.curr_epoch}, after batch {self.curr_batch}")
        return False

    def _refuse_other_data(self, then: Mapping[str, Any]) -> None:
        """Raise if the checkpoint is of a training on different data."""
        assert self._data is not None  # known wherever there is a folder to read a checkpoint from
        if changes := differences(then, self._data):
            raise DataError(
                f"{self._checkpoint.file}: expected the data that this training began with, but "
                f"{'; '.join(changes)}. Put the data back as they were, or delete the folder "
                f"{self.folder} to start from the beginning"
            )

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Bring everything to where it stood."""
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])
        if self.curr_epoch < 0 or not 0 <= self.epoch_batch <= self._n_batches:
            raise ValueError(f"it stands in epoch {self.curr_epoch}, batch {self.epoch_batch}")
        device = next(self.model.parameters()).device
        self.terms = state["terms"]
        self.sums = state["sums"] if state["sums"] is None else state["sums"].to(device)
        if self.sums is not None and self.sums.shape != (len(self.terms),):
            raise ValueError(f"it has {tuple(self.sums.shape)} sums of {len(self.terms)} terms")
        self._best_weights = state["best_weights"]
        if self._best_weights is not None:
            self.model.load_state_dict(self._best_weights)  # they must fit, when they are needed
        self.model.load_state_dict(state["model"])
        self.model.on_epoch_start(self.curr_epoch)
        self.model.loss_weights.update(state["loss_weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.data_generator.load_state_dict(state["data_generator"])
        for callback, kept in zip(self.callbacks, state["callbacks"], strict=True):
            _put_back(callback, kept)
        if state["metrics_size"]:
            self._logger = self._open_logger(keep=state["metrics_size"])
        self._rng_states = state["rng"]  # to be set last, after all that might draw
        set_rng_states(self._rng_states)  # and here, as it may be wrong

    def _take_up_completed(self, state: Mapping[str, Any]) -> bool:
        """Load the weights of a training that had ended; only what followed it was cut short."""
        file = Path(self._checkpoint.file or "").with_name(WEIGHTS)
        if not file.is_file():
            return False
        self.model.load_parameters_from_file(file)
        self.model.eval()
        self.best_val_epoch = state["best_val_epoch"]
        self._tell_hparams()
        logging.info(f"training had ended already; the best weights are those of {file}")
        return True

    def _fingerprint(self, completed: bool = False) -> dict[str, str]:
        """Spell out what must be the same for a checkpoint to be of use.

        A training that goes on may be made longer or shorter; one that is completed may not.
        """
        keys = {name for name, key in KEYS.items() if not key.neutral}
        values = {name: self.model.hparams[name] for name in keys & self.model.hparams.keys()}
        values |= {name: getattr(self, name) for name in keys & vars(self).keys()}
        if not completed:
            values = {name: value for name, value in values.items() if name not in _LENGTH}
        values["callbacks"] = [type(callback).__name__ for callback in self.callbacks]
        values["number of batches"] = dict(self.data_generator.n_tot_batches)
        values["shape of weights"] = [list(w.shape) for w in self.model.state_dict().values()]
        return {name: str(value) for name, value in values.items()}


def _state_of(callback: Any) -> dict[str, Any]:
    """Return what a callback remembers; nothing of one that is no `BaseCallback`."""
    return dict(callback.state_dict()) if hasattr(callback, "state_dict") else {}


def _put_back(callback: Any, state: Mapping[str, Any]) -> None:
    if hasattr(callback, "load_state_dict"):
        callback.load_state_dict(state)


#: Parameters of the trainer that are no keys.
_NOT_IN_CONFIGS = ("callbacks", "checkpoint_interval")

#: Keys that say when training ends.
_LENGTH = ("early_stop_history", "max_epochs", "min_epochs", "save_last_model")

#: What the data decide of a fingerprint.
_OF_DATA = ("number of batches", "shape of weights")

#: The trainer's own attributes that a checkpoint keeps.
_PROGRESS = (
    "curr_epoch",
    "curr_batch",
    "epoch_batch",
    "should_halt",
    "diverged",
    "best_val_loss",
    "best_val_epoch",
)
