"""The segmenter: an encoder, and a head for each thing it is trained to tell."""

from __future__ import annotations

import functools
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from daart_fast import ops
from daart_fast.backbones import backbone_of
from daart_fast.config import with_defaults
from daart_fast.data.ignored import IGNORED, ignored_class
from daart_fast.data.sequences import shown_beside
from daart_fast.errors import ConfigError, did_you_mean
from daart_fast.models.base import (
    BaseModel,
    get_activation_func_from_str,
    reparameterize_gaussian,
)
from daart_fast.models.layers import plain_linear
from daart_fast.models.loss_terms import (
    binary_accuracy,
    binary_cross_entropy,
    by_class,
    kl_div_to_std_normal,
    r2_score,
)
from daart_fast.models.objective import Objective
from daart_fast.models.predict import predict_labels
from daart_fast.models.tcn import DilatedTCN

__all__ = ["Segmenter"]

CLASSIFIER_TYPES = ("multiclass", "binary", "multibinary")
# each loss, weighted by its lambda_ key, and the head that it trains
HEAD_OF_LOSS = {
    "strong": "classifier",
    "weak": "classifier_weak",
    "pred": "predictor",
    "recon": "decoder",
    "task": "task_predictor",
}
CAUSAL = "causal"  # marks the weights of a model that reads only the past
KL_EPOCHS = 100  # the epochs over which the weight of the KL divergence grows to 1


class _ClassWeights(nn.Module):
    """Holds ``class_loss.weight``, (C,), a name of daart's state dicts; None weighs all alike."""

    weight: Tensor | None

    def __init__(self, class_weights: Any) -> None:
        super().__init__()
        weight = None
        if class_weights is not None:
            values = np.asarray(class_weights, dtype=np.float32)
            if not ((values >= 0) & np.isfinite(values)).all():
                raise ConfigError(f"class_weights must be finite, 0 or more, not {class_weights}")
            weight = torch.as_tensor(values)
        self.register_buffer("weight", weight)


class Segmenter(BaseModel):
    """Tells the behaviour in each frame of a sequence of inputs.

    ``model`` holds the modules: ``encoder``; ``latent_mean`` and ``latent_logvar`` where
    ``variational``; and the heads that the configuration asks for, each with its loss:

    ==================  ================  ========================================================
    head                exists if         learns
    ==================  ================  ========================================================
    ``classifier``      lambda_strong     the hand labels
    ``classifier_weak`` lambda_weak       heuristic or pseudo labels, where no hand label exists
    ``predictor``       lambda_pred       the inputs one frame later
    ``decoder``         lambda_recon      the inputs
    ``task_predictor``  lambda_task       the regression tasks
    ==================  ================  ========================================================

    A head exists if its key is above 0; ``classifier_weak`` also with any semi_supervised_algo,
    which may anneal its weight from 0.

    Parameters
    ----------
    hparams
        The flat dict described in docs/architecture.md; kept, and never written to. Needed:
        backbone, input_size, output_size (the number of classes), n_hid_layers, n_hid_units,
        n_lags, activation, and task_size where lambda_task is above 0; label_names where
        multibinary labels have a background.
    heads
        The heads to make, whatever hparams say: those that a file of weights holds.

    Attributes
    ----------
    settings : Mapping
        ``hparams``, and the defaults of the keys that they lack.
    loss_weights : dict
        Weight of each term in the loss: ``strong``, ``weak``, ``pred``, ``recon``, ``task``.
        Starts from the lambda_* keys; annealing changes it, and so does a change of these keys
        in ``hparams``.
    kl_weight : float
        Weight of the KL divergence. 1, until `on_epoch_start` says how far training is.
    objective : Objective or None
        Computes all losses and their gradients as one operation; None where they are made in parts.
    """

    def __init__(self, hparams: dict[str, Any], heads: Collection[str] | None = None) -> None:
        super().__init__()
        self.hparams = hparams
        self.settings = ChainMap(hparams, with_defaults({}))
        self.classifier_type = self.settings["classifier_type"]
        if self.classifier_type not in CLASSIFIER_TYPES:
            raise ConfigError(
                f"classifier_type must be one of {', '.join(CLASSIFIER_TYPES)}, "
                f"not '{self.classifier_type}'"
                + did_you_mean(self.classifier_type, CLASSIFIER_TYPES)
            )
        self.ignore_class = ignored_class(hparams)
        self.loss_weights = self._lambdas()
        self._lambdas_seen = dict(self.loss_weights)
        self._heads = self._configured_heads() if heads is None else set(heads)
        self.kl_weight = 1.0
        self.model = nn.ModuleDict()
        self.build_model()
        self.class_loss = _ClassWeights(hparams.get("class_weights"))
        if self.settings["causal"]:
            # daart knows no causal models: this name makes it refuse the weights
            self.register_buffer(CAUSAL, torch.ones(()))
        self.objective = self._whole_objective()

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights; those of causal models without the mark of one are as good."""
        if CAUSAL in self._buffers and CAUSAL not in state_dict:
            state_dict = {**state_dict, CAUSAL: torch.ones(())}
        return super().load_state_dict(state_dict, *args, **kwargs)

    # ---------------------------------------------------------------------------- construction

    def build_model(self) -> None:
        """Make the modules, initialised from rng_seed_model (0); torch's own generator is kept."""
        backbone = backbone_of(self.hparams).load()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(self.settings["rng_seed_model"] or 0))
            self._build(backbone)

    def _build(self, backbone: Callable[..., Any]) -> None:
        hparams, hidden = self.hparams, self.hparams["n_hid_units"]
        self.model["encoder"] = encoder = backbone(hparams, type="encoder")
        if self.variational:
            for name in ("latent_mean", "latent_logvar"):
                self.model[name] = _dense(name, encoder.next_layer, hidden, hidden)
        for name in ("decoder", "predictor"):
            if name in self._heads:
                self.model[name] = backbone(hparams, type="decoder")
        for name in ("classifier", "classifier_weak"):
            if name in self._heads:
                self.model[name] = _dense("classification", 0, hidden, hparams["output_size"])
        if "task_predictor" in self._heads:
            self.model["task_predictor"] = _two_layers(hidden, hparams["task_size"])

    def _lambdas(self) -> dict[str, float]:
        return {name: float(self.settings[f"lambda_{name}"] or 0) for name in HEAD_OF_LOSS}

    def read_lambdas(self) -> None:
        """Take over the lambda_* keys of hparams that were changed, as daart's callbacks do.

        Raises
        ------
        ConfigError
            A loss gets a weight for which the model has no head.
        """
        now = self._lambdas()
        if now == self._lambdas_seen:
            return
        for name, weight in now.items():
            if weight == self._lambdas_seen[name]:
                continue
            if weight and HEAD_OF_LOSS[name] not in self.model:
                raise ConfigError(
                    f"hparams['lambda_{name}'] was set to {weight:g}, but the model was made "
                    f"without the head {HEAD_OF_LOSS[name]}: give lambda_{name} before making it"
                )
            self.loss_weights[name] = weight
        self._lambdas_seen = now

    def _configured_heads(self) -> set[str]:
        heads = {head for loss, head in HEAD_OF_LOSS.items() if self.loss_weights[loss] > 0}
        if self.settings["semi_supervised_algo"] not in (None, "none"):
            heads.add("classifier_weak")
        return heads

    def _whole_objective(self) -> Objective | None:
        """All losses as one operation, where they are made of what that knows."""
        known = {"encoder", *ops.HEADS}
        if type(self.model["encoder"]) is not DilatedTCN or not known >= self.model.keys():
            return None
        if self.classifier_type == "multibinary" or len(self.model) == 1:
            return None
        heads = [
            self.model[name] for name in ("classifier", "classifier_weak") if name in self.model
        ]
        decoders = [self.model[name] for name in ("predictor", "decoder") if name in self.model]
        if not all(map(plain_linear, heads)) or not all(type(m) is DilatedTCN for m in decoders):
            return None
        return Objective(self.model, self.hparams["output_size"])

    @property
    def shown_beside(self) -> tuple[int, int]:
        """How many neighbours a sequence is shown before and after its own frames."""
        return shown_beside(int(self.settings.get("sequence_pad") or 0), self.settings["causal"])

    @property
    def variational(self) -> bool:
        """Whether the embedding is a distribution, sampled in training."""
        return bool(self.settings["variational"])

    def __str__(self) -> str:
        lines = [f"{self.hparams['backbone'].upper()} architecture", "-" * 24]
        for name, module in self.model.items():
            n_parameters = sum(p.numel() for p in module.parameters())
            lines.append(f"{name.replace('_', ' ').capitalize()} ({n_parameters:,} parameters):")
            layers = module.get_submodule("model") if isinstance(module, BaseModel) else module
            # each once, though daart's weights know some layers by two names
            lines += [
                f"    {name}: {layer}"
                for name, layer in layers.named_modules()
                if next(layer.children(), None) is None
            ]
        return "\n".join(lines) + "\n"

    # ---------------------------------------------------------------------------- running

    def embed(
        self, x: Tensor, first: int = 0, frames: int | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Map inputs (B, W, N) to the embedding's mean, log-variance (or None) and sample.

        Each is (B, W, n_hid_units), or has ``frames`` frames from the first on. The sample is drawn
        in training mode alone; else it is the mean, so that predictions repeat.
        """
        frames = x.shape[1] - first if frames is None else frames
        hidden = self._backbone("encoder").some_frames(x, first, frames)
        if not self.variational:
            return hidden, None, hidden
        mean, logvar = self.model["latent_mean"](hidden), self.model["latent_logvar"](hidden)
        return mean, logvar, reparameterize_gaussian(mean, logvar) if self.training else mean

    def _backbone(self, name: str) -> BaseModel:
        backbone = self.model[name]
        assert isinstance(backbone, BaseModel)
        return backbone

    def _head(self, name: str, z: Tensor) -> Tensor | None:
        return self.model[name](z) if name in self.model else None

    def forward(self, x: Tensor) -> dict[str, Tensor | None]:
        """Run the encoder and every head.

        Parameters
        ----------
        x
            (n_sequences, sequence_length, n_markers), normalised, padding included.

        Returns
        -------
        dict
            ``labels``, ``labels_weak`` (B, W, C) logits; ``reconstruction``, ``prediction``
            (B, W, N); ``task_prediction`` (B, W, n_tasks); ``embedding`` (the mean),
            ``latent_mean``, ``latent_logvar``, ``sample`` (B, W, n_hid_units). None for what is
            not configured.
        """
        mean, logvar, z = self.embed(x)
        return {
            "labels": self._head("classifier", z),
            "labels_weak": self._head("classifier_weak", z),
            "reconstruction": self._head("decoder", z),
            "prediction": self._head("predictor", z),
            "task_prediction": self._head("task_predictor", z),
            "embedding": mean,
            "latent_mean": mean,
            "latent_logvar": logvar,
            "sample": z,
        }

    def classify(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Run only what a prediction needs.

        Returns
        -------
        tuple
            Logits (B, W, C), of the hand-label head or, where there is none, of the weak one;
            the embedding (B, W, n_hid_units); the task predictions (B, W, n_tasks) or None.
        """
        mean, _, z = self.embed(x)
        scores = self._head("classifier" if "classifier" in self.model else "classifier_weak", z)
        if scores is None:
            raise ConfigError(
                "this model has no classifier to predict labels with: "
                "lambda_strong and lambda_weak are both 0"
            )
        return scores, mean, self._head("task_predictor", z)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Turn logits (..., C) into probabilities: a softmax, or multibinary's sigmoids."""
        if self.classifier_type == "multibinary":
            return torch.sigmoid(scores)
        rows = by_class(torch.softmax, scores.reshape(-1, scores.shape[-1]))
        return rows.reshape(scores.shape)

    def predict_labels(
        self,
        data_generator: Any,
        return_scores: bool = False,
        remove_pad: bool = True,
        mode: str = "eval",
    ) -> dict[str, list[list[np.ndarray]]]:
        """Predict every sequence of every session; see `predict.predict_labels`."""

        return predict_labels(self, data_generator, return_scores, remove_pad, mode)

    # ---------------------------------------------------------------------------- losses

    def on_epoch_start(self, epoch: int) -> None:
        """Set the weight of the KL divergence: 0 in epochs 0 and 1, then 0.01 more each epoch."""
        self.kl_weight = min(max(epoch - 1, 0) / KL_EPOCHS, 1.0)

    def losses(self, batch: Mapping[str, Tensor], reduce: str = "batch") -> dict[str, Tensor]:
        """Compute the loss and its terms over the frames of a batch, padding cut off.

        Parameters
        ----------
        batch
            See docs/architecture.md. Without ``frame_mask`` every frame counts as real.
        reduce
            ``"batch"`` for scalars; ``"sequence"`` for (B,), each sequence's own mean, NaN where
            it has nothing to score.

        Returns
        -------
        dict
            ``loss``, to call backward on, and the terms that are configured, unweighted, by their
            names in metrics.csv. Nothing is copied to the host.
        """
        self.read_lambdas()
        x = batch["markers"]
        first, frames = self._scored(x.shape[1])
        mask = batch.get("frame_mask")
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        x_seen, mask_seen = x.narrow(1, first, frames), mask.narrow(1, first, frames)
        if "predictor" in self.model or "decoder" in self.model:
            # these look at the embedding of the padding too
            mean, logvar, z = self.embed(x)
            terms = self._class_losses(z, batch, mask, first, frames, reduce)
        else:
            mean, logvar, z = self.embed(x, first, frames)
            seen = {
                k: v.narrow(1, first, frames)
                for k, v in batch.items()
                if v.ndim > 1 and v.shape[1] == x.shape[1]
            }
            terms = self._class_losses(z, seen, mask_seen, 0, frames, reduce)
        if "predictor" in self.model:
            predictions = self._backbone("predictor").some_frames(z, first, frames)
            # the last frame inside the padding has no successor there
            terms["loss_pred"] = ops.squared_error(
                predictions, x_seen, mask_seen, ahead=1, reduce=reduce
            )
        if "decoder" in self.model:
            predictions = self._backbone("decoder").some_frames(z, first, frames)
            terms["loss_recon"] = ops.squared_error(predictions, x_seen, mask_seen, reduce=reduce)
        if z.shape[1] != frames:
            mean, z = mean.narrow(1, first, frames), z.narrow(1, first, frames)
            logvar = None if logvar is None else logvar.narrow(1, first, frames)
        if "task_predictor" in self.model:
            predictions, tasks = self.model["task_predictor"](z), batch.get("tasks")
            if tasks is None:
                tasks = torch.full_like(predictions, torch.nan)
            else:
                tasks = tasks.narrow(1, first, frames)
            terms["loss_task"] = ops.squared_error(predictions, tasks, mask_seen, reduce=reduce)
            terms["task_r2"] = r2_score(predictions, tasks, mask_seen, reduce)
        if logvar is not None:
            # twice, as the squared errors beside it are twice a Gaussian's negative log-likelihood
            terms["loss_kl"] = 2.0 * kl_div_to_std_normal(mean, logvar, mask_seen, reduce)
            terms["kl_weight"] = torch.ones_like(terms["loss_kl"].detach()) * self.kl_weight
        return {"loss": self.total_loss(terms, skip_nan=reduce == "sequence"), **terms}

    def losses_and_gradients(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute `losses` of a batch, and the gradients of its loss in the parameters' ``grad``.

        What was there is replaced, and so may the memory be that the call before put there. Where
        the losses are one operation so are they and their gradients, without autograd.

        Parameters
        ----------
        batch
            See `losses`.

        Returns
        -------
        dict
            As of `losses`; none of it is differentiable.
        """
        if (terms := self._losses_at_once(batch)) is not None:
            return terms
        for parameter in self.parameters():
            parameter.grad = None
        terms = self.losses(batch)
        terms["loss"].backward()
        return {name: term.detach() for name, term in terms.items()}

    def _losses_at_once(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Compute the losses and their gradients as one operation; None where that can't be."""
        if type(self).losses is not Segmenter.losses:
            return None
        self.read_lambdas()
        x = batch["markers"]
        first, frames = self._scored(x.shape[1])
        if frames == 0 or x.requires_grad or not ops.can_take_objective(x):
            return None
        if self.objective is not None and not self.objective.is_current():
            self.objective = self._whole_objective()
        whole = self.objective
        if whole is None or not whole.can_place_gradients():
            return None
        return whole.losses_and_gradients(
            batch,
            training=self.training,
            first=first,
            frames=frames,
            ignored=self.ignore_class,
            class_weights=self.class_loss.weight,
            weights=self.loss_weights,
        )

    def _class_losses(
        self,
        z: Tensor,
        batch: Mapping[str, Tensor],
        mask: Tensor,
        first: int,
        frames: int,
        reduce: str,
    ) -> dict[str, Tensor]:
        """Compute the losses of labels over ``frames`` frames, as far as there are heads for them.

        They are ``loss_strong``, ``loss_weak`` and ``fc``: how often the hand-label head agrees
        with the weak labels.
        """

        def loss(
            head: str, labels: Tensor | None, **classes: Tensor | None
        ) -> tuple[Tensor, Tensor]:
            labels = self._no_labels(z) if labels is None else labels
            return self._head_loss(
                head, z, labels, **classes, mask=mask, first=first, frames=frames, reduce=reduce
            )

        strong, weak = batch.get("labels_strong"), batch.get("labels_weak")
        terms: dict[str, Tensor] = {}
        if "classifier_weak" in self.model:
            terms["loss_weak"], _ = loss("classifier_weak", weak, unless=strong, compared=None)
        if "classifier" in self.model:
            both = "classifier_weak" in self.model
            strong_loss, agreement = loss(
                "classifier", strong, unless=None, compared=weak if both else None
            )
            if both:
                terms["fc"] = agreement
            terms["loss_strong"] = strong_loss
        return terms

    def _head_loss(
        self,
        head: str,
        z: Tensor,
        labels: Tensor,
        *,
        unless: Tensor | None,
        compared: Tensor | None,
        mask: Tensor,
        first: int,
        frames: int,
        reduce: str,
    ) -> tuple[Tensor, Tensor]:
        """Return a head's loss over ``frames`` frames of z, and its agreement with ``compared``.

        Frames count where there are ``labels`` and ``unless`` has none.
        """
        if self.classifier_type == "multibinary":
            seen = (None if t is None else t.narrow(1, first, frames) for t in (unless, compared))
            return self._labels_loss(
                self.model[head](z.narrow(1, first, frames)),
                labels.narrow(1, first, frames),
                *seen,
                mask=mask.narrow(1, first, frames),
                reduce=reduce,
            )
        linear = plain_linear(self.model[head])
        if linear is None:  # some head of the user's: its logits are scored as they are
            z = self.model[head](z)
            weight, bias = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device), None
        else:
            weight, bias = linear.weight, linear.bias
        return ops.linear_cross_entropy(
            z,
            weight,
            bias,
            labels,
            mask=mask,
            unless=unless,
            compared=compared,
            ignored=self.ignore_class,
            class_weights=self.class_loss.weight,
            first=first,
            frames=frames,
            reduce=reduce,
        )

    def _no_labels(self, z: Tensor) -> Tensor:
        """Labels for every frame of z (B, W, n_hid_units), of which none counts."""
        if self.classifier_type == "multibinary":
            return z.new_full((*z.shape[:2], self.hparams["output_size"]), torch.nan)
        return z.new_full(z.shape[:2], IGNORED, dtype=torch.int64)

    def _labels_loss(
        self,
        logits: Tensor,
        labels: Tensor,
        unless: Tensor | None,
        compared: Tensor | None,
        *,
        mask: Tensor,
        reduce: str,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of logits of several labels a frame, and their agreement.

        Logits and labels are (B, W, C). Frames count where there are labels and ``unless`` has
        none. The agreement is with ``compared``.
        """
        targets = self._targets(labels, mask)
        if unless is not None:
            targets = torch.where(self._targets(unless, mask).isnan(), targets, torch.nan)
        reference = torch.full_like(logits, torch.nan)
        if compared is not None:
            reference = self._targets(compared, mask)
        return (
            binary_cross_entropy(logits, targets, self.class_loss.weight, reduce),
            binary_accuracy(logits, reference, reduce),
        )

    def _targets(self, labels: Tensor, mask: Tensor) -> Tensor:
        """Mark the multibinary labels (B, W, C) that do not count by NaN."""
        scored = mask[..., None]
        if 0 <= self.ignore_class < labels.shape[-1]:
            column = self.ignore_class
            scored = scored & (labels[..., column : column + 1] != 1)
        return torch.where(scored, labels, torch.nan)

    def total_loss(self, terms: Mapping[str, Tensor], skip_nan: bool = False) -> Tensor:
        """Sum the loss terms among ``terms``, weighted as they are now.

        With ``skip_nan``, as NaN stands for nothing to score, a term that is NaN adds nothing, and
        the total is NaN only where every term is.
        """
        weights = {f"loss_{name}": weight for name, weight in self.loss_weights.items()}
        weights["loss_kl"] = self.kl_weight
        weighed = [(weights[name], term) for name, term in terms.items() if name in weights]
        if not weighed:
            raise ConfigError("nothing to train on: every lambda_ key is 0")
        weighted_terms = [weight * term for weight, term in weighed]
        if not skip_nan:
            return functools.reduce(torch.add, weighted_terms)
        total = torch.stack(weighted_terms)
        return torch.where(total.isnan().all(0), torch.nan, total.nansum(0))

    def training_step(
        self, batch: Mapping[str, Tensor], accumulate_grad: bool = True, **kwargs: Any
    ) -> dict[str, float]:
        """Compute the losses of a batch as floats; add to the gradients if ``accumulate_grad``.

        It is kept for daart's scripts: `Trainer` calls `losses`, and waits for no number.
        """
        with torch.set_grad_enabled(accumulate_grad):
            terms = self.losses(batch)
        if accumulate_grad:
            terms["loss"].backward()
        values = torch.stack([term.detach().double() for term in terms.values()]).tolist()
        return dict(zip(terms, values, strict=True))

    def _scored(self, frames: int) -> tuple[int, int]:
        """The first frame inside the padding of sequences of so many frames, and how many are."""
        before, after = self.shown_beside
        return before, max(frames - before - after, 0)


def _two_layers(in_size: int, out_size: int) -> nn.Sequential:
    """Two linear layers with a leaky ReLU between them, named as in daart's state dicts."""
    layers = nn.Sequential()
    layers.add_module("dense_layer_00", nn.Linear(in_size, in_size))
    layers.add_module("lrelu_00", get_activation_func_from_str("lrelu"))
    layers.add_module("dense_layer_01", nn.Linear(in_size, out_size))
    return layers


def _dense(name: str, number: int, in_size: int, out_size: int) -> nn.Sequential:
    """One linear layer, named as in daart's state dicts."""
    layer = nn.Sequential()
    layer.add_module(f"dense({name})_layer_{number:02d}", nn.Linear(in_size, out_size))
    return layer
