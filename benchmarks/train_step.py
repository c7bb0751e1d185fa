"""A whole training step against PyTorch's eager mode.

    python -m benchmarks.train_step [--threads 1 2] [--json FILE]

A step is zero_grad, losses, backward and the optimiser on a batch that is ready: a dilated TCN on
16 inputs and 6 classes, n_lags 4, dropout 0.1, Adam with amsgrad. ``value`` is the fraction of the
FMA peak measured in the same run, counting the multiply-adds of the direct method in the forward
and backward passes of the wide convolutions, over all frames of a sequence, padding included (the
first layer has no input gradient to compute). The eager side is the same model written plainly in
PyTorch, on the layouts that suit it, with torch's own Adam; ``compiled`` is the ratio to that with
its loss under torch.compile, where there is a C++ compiler for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from benchmarks import machine
from daart_fast import ops
from daart_fast.models import Segmenter

INPUTS, CLASSES, LAGS, DROPOUT = 16, 6, 4, 0.1
WIDTH = 2 * LAGS + 1


@dataclass(frozen=True)
class Case:
    name: str
    batch: int
    length: int
    units: int
    layers: int
    losses: tuple[str, ...]
    bars: tuple[float, float]  # with one thread, and with more
    ratio_bar: float

    @property
    def pad(self) -> int:
        return sum(2 * 2**i * LAGS for i in range(self.layers))

    @property
    def frames(self) -> int:
        return self.length + 2 * self.pad

    def widths(self, decoder: bool) -> list[tuple[int, int, int, bool]]:
        """(in, out, dilation, has an input gradient) of each wide convolution."""
        first, last = (self.units, INPUTS) if decoder else (INPUTS, self.units)
        dilations = [2**i for i in range(self.layers)][:: -1 if decoder else 1]
        ins = [first] + [self.units] * (self.layers - 1)
        outs = [self.units] * (self.layers - 1) + [last]
        made = []
        for i, dilation in enumerate(dilations):
            made.append((ins[i], self.units, dilation, decoder or i > 0))
            made.append((self.units, outs[i], dilation, True))
        return made

    @property
    def multiply_adds(self) -> int:
        convolutions = self.widths(False) + (self.widths(True) if "pred" in self.losses else [])
        channels = sum(i * o * (3 if has_dx else 2) for i, o, _, has_dx in convolutions)
        return self.batch * self.frames * WIDTH * channels


ALL = ("strong", "weak", "pred")
CASES = (
    Case("daart's default", 2, 500, 32, 2, ALL, (1.1, 0.85), 5.0),
    Case("hand labels", 8, 500, 32, 2, ("strong",), (1.4, 1.2), 3.0),
    Case("large, all heads", 8, 1000, 64, 4, ALL, (1.7, 1.5), 2.6),
)


def make_batch(case: Case) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    shape = (case.batch, case.frames)
    strong = torch.randint(0, CLASSES, shape, generator=draw)
    batch = {
        "markers": torch.randn(*shape, INPUTS, generator=draw),
        # hand labels on half of the frames
        "labels_strong": strong * (torch.rand(shape, generator=draw) < 0.5),
        "frame_mask": torch.ones(shape, dtype=torch.bool),
        "batch_idx": torch.arange(case.batch),
    }
    if "weak" in case.losses:
        batch["labels_weak"] = torch.randint(0, CLASSES, shape, generator=draw)
    return batch


# ---------------------------------------------------------------------------- this package


def own_model(case: Case, activation: str = "lrelu") -> Segmenter:
    hparams: dict[str, Any] = {
        "backbone": "dtcn",
        "input_size": INPUTS,
        "output_size": CLASSES,
        "n_hid_layers": case.layers,
        "n_hid_units": case.units,
        "n_lags": LAGS,
        "activation": activation,
        "dropout": DROPOUT,
        "sequence_pad": case.pad,
        "rng_seed_model": 0,
        **{f"lambda_{name}": 1.0 for name in case.losses},
    }
    return Segmenter(hparams).train()


def own_step(case: Case, batch: dict[str, Tensor]) -> Callable[[], object]:
    model = own_model(case).to(batch["markers"].device)
    optimizer = ops.Adam(model.get_parameters(), 1e-4, 0.0)

    def step() -> None:
        optimizer.zero_grad()
        model.losses_and_gradients(batch)
        optimizer.step()

    return step


# ---------------------------------------------------------------------------- plain PyTorch


class EagerBlock(nn.Module):
    """On (B, C, T), with PyTorch's modules."""

    def __init__(self, c_in: int, hidden: int, c_out: int, dilation: int) -> None:
        super().__init__()
        pad = LAGS * dilation

        def conv(i: int, o: int) -> nn.Module:
            return parametrizations.weight_norm(
                nn.Conv1d(i, o, WIDTH, padding=pad, dilation=dilation)
            )

        self.path = nn.Sequential(
            conv(c_in, hidden),
            nn.LeakyReLU(0.05),
            nn.Dropout1d(DROPOUT),
            conv(hidden, c_out),
            nn.LeakyReLU(0.05),
            nn.Dropout1d(DROPOUT),
        )
        self.residual = nn.Conv1d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.path(x) + self.residual(x), 0.05)


class EagerModel(nn.Module):
    def __init__(self, case: Case) -> None:
        super().__init__()
        self.encoder = self._stack(case, decoder=False)
        self.strong = nn.Linear(case.units, CLASSES)
        self.weak = nn.Linear(case.units, CLASSES) if "weak" in case.losses else None
        self.predictor: nn.Module | None = None
        if "pred" in case.losses:
            self.predictor = nn.Sequential(
                self._stack(case, decoder=True), nn.Conv1d(INPUTS, INPUTS, 1)
            )

    @staticmethod
    def _stack(case: Case, decoder: bool) -> nn.Module:
        widths = case.widths(decoder)
        pairs = zip(widths[::2], widths[1::2], strict=True)
        return nn.Sequential(*(EagerBlock(a[0], case.units, b[1], a[2]) for a, b in pairs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        z = self.encoder(x.transpose(1, 2))
        by_frame = z.transpose(1, 2)
        weak = self.weak(by_frame) if self.weak is not None else None
        predicted = None
        if self.predictor is not None:
            predicted = self.predictor(z).transpose(1, 2)
        return self.strong(by_frame), weak, predicted


Loss = Callable[[], Tensor]


def eager_loss(model: EagerModel, batch: dict[str, Tensor], pad: int) -> Tensor:
    """The loss as a user would write it; ``pad`` frames on either side are padding."""
    x, labels = batch["markers"], batch["labels_strong"]
    inside = slice(pad, x.shape[1] - pad)

    def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
        # 0 is the background, which is not scored
        return F.cross_entropy(
            logits[:, inside].reshape(-1, CLASSES), labels[:, inside].reshape(-1), ignore_index=0
        )

    strong, weak, predicted = model(x)
    loss = class_loss(strong, labels)
    if weak is not None:
        loss = loss + class_loss(weak, torch.where(labels == 0, batch["labels_weak"], 0))
    if predicted is not None:
        loss = loss + F.mse_loss(predicted[:, inside][:, :-1], x[:, inside][:, 1:])
    return loss


def eager_step(
    case: Case,
    batch: dict[str, Tensor],
    compiled: Callable[[Loss], Loss] | None = None,
    **adam: Any,
) -> Callable[[], object]:
    """A step on the batch's device; ``compiled`` turns its loss into a faster one."""
    torch.manual_seed(0)
    model = EagerModel(case).to(batch["markers"].device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, amsgrad=True, **adam)

    def loss_of_batch() -> Tensor:
        return eager_loss(model, batch, case.pad)

    loss = compiled(loss_of_batch) if compiled else loss_of_batch

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


COLUMNS = {
    "case": 18,
    "batch": 6,
    "frames": 7,
    "threads": 8,
    "ms": 7,
    "value": 6,
    "bar": 5,
    "pytorch": 8,
    "ratio": 6,
    "ratio bar": 9,
    "compiled": 8,
    "apart, ns": 9,
}


def measure(case: Case, threads: int, seconds: float) -> machine.Row:
    batch = make_batch(case)
    apart = machine.round_trip(threads)
    peak = machine.fma_peak(threads)
    sides = [own_step(case, batch), eager_step(case, batch)]
    if machine.can_compile():
        sides.append(eager_step(case, batch, machine.compiled))
    own, eager, *compiled = machine.medians(sides, seconds)
    peak = max(peak, machine.fma_peak(threads))
    return {
        "case": case.name,
        "batch": case.batch,
        "frames": case.frames,
        "threads": threads,
        "ms": own * 1e3,
        "value": case.multiply_adds / own / peak,
        "bar": case.bars[threads > 1],
        "pytorch": case.multiply_adds / eager / peak,
        "ratio": eager / own,
        "ratio bar": case.ratio_bar if threads > 1 else None,
        "compiled": compiled[0] / own if compiled else None,
        "apart, ns": apart,
        "seconds": own,
        "seconds_pytorch": eager,
    }


def main() -> None:
    args = machine.arguments(__doc__).parse_args()
    table = machine.Table(COLUMNS)
    table.head("one training step; value and pytorch are fractions of the FMA peak")
    for threads in args.threads:
        with machine.threads(threads):
            for case in CASES:
                table.add(measure(case, threads, max(args.seconds, 1.0)))
    table.finish(args.json)


if __name__ == "__main__":
    main()
