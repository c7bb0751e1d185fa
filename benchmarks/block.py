"""The residual block as one operation, forward and backward, against PyTorch's eager mode.

    python -m benchmarks.block [--threads 1 2] [--json FILE]

``value`` is the fraction of the FMA peak measured in the same run, counting the multiply-adds of
the direct method in all three passes of both convolutions. The eager side is the block written
plainly in PyTorch on (B, C, T), the layout that suits it: weight norm, conv1d, activation, dropout
of channels by the same masks, residual; ``compiled`` is the ratio to it under torch.compile, where
there is a C++ compiler for that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import machine
from daart_fast import ops

BATCH, FRAMES, CHANNELS, WIDTH = 8, 548, 32, 9
DILATIONS = (1, 2, 8)
BARS = (1.4, 1.3)  # with one thread, and with more
RATIO_BAR = 3.0
COLUMNS = dict.fromkeys(("channels", "dilation", "frames", "threads"), 8) | {
    "value": 6,
    "bar": 5,
    "pytorch": 7,
    "ratio": 6,
    "ratio bar": 9,
    "compiled": 8,
    "apart, ns": 9,
}


def eager_block(x: Tensor, parameters: list[Tensor], masks: list[Tensor], dilation: int) -> Tensor:
    """x (B, C, T); parameters v, gain, bias of both convolutions."""
    y = x
    for i in (0, 1):
        v, gain, bias = parameters[3 * i : 3 * i + 3]
        weight = torch._weight_norm(v, gain, 0)
        y = F.conv1d(y, weight, bias, padding=(WIDTH - 1) // 2 * dilation, dilation=dilation)
        y = F.leaky_relu(y, 0.05) * masks[i][:, :, None]
    return F.leaky_relu(y + x, 0.05)


def measure(dilation: int, threads: int, seconds: float) -> machine.Row:
    draw = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(BATCH, FRAMES, CHANNELS, generator=draw) for _ in range(2))
    x_eager, grad_eager = (t.transpose(1, 2).contiguous() for t in (x, grad))
    masks = [(torch.rand(BATCH, CHANNELS, generator=draw) < 0.9) / 0.9 for _ in range(2)]
    parameters = []
    for _ in range(2):
        v = torch.randn(CHANNELS, CHANNELS, WIDTH, generator=draw) * 0.05
        parameters += [v, v.norm(dim=(1, 2), keepdim=True), torch.zeros(CHANNELS)]
    leaves = [t.requires_grad_() for t in (x, *parameters)]
    leaves_eager = [t.requires_grad_() for t in (x_eager, *parameters)]

    def own() -> object:
        y = ops.dilation_block(
            *leaves, mask0=masks[0], mask1=masks[1], dilation=dilation, activation="lrelu"
        )
        return torch.autograd.grad(y, leaves, grad)

    def pytorch(block: Callable[..., Tensor]) -> Callable[[], object]:
        def call() -> object:
            y = block(x_eager, parameters, masks, dilation)
            return torch.autograd.grad(y, leaves_eager, grad_eager)

        return call

    apart = machine.round_trip(threads)
    peak = machine.fma_peak(threads)
    sides = [own, pytorch(eager_block)]
    if machine.can_compile():
        sides.append(pytorch(machine.compiled(eager_block)))
    seconds_own, seconds_eager, *compiled = machine.medians(sides, seconds)
    peak = max(peak, machine.fma_peak(threads))
    work = 2 * 3 * BATCH * FRAMES * CHANNELS**2 * WIDTH
    return {
        "channels": CHANNELS,
        "dilation": dilation,
        "frames": FRAMES,
        "threads": threads,
        "value": work / seconds_own / peak,
        "bar": BARS[threads > 1],
        "pytorch": work / seconds_eager / peak,
        "ratio": seconds_eager / seconds_own,
        "ratio bar": RATIO_BAR,
        "compiled": compiled[0] / seconds_own if compiled else None,
        "apart, ns": apart,
        "seconds": seconds_own,
        "seconds_pytorch": seconds_eager,
    }


def main() -> None:
    args = machine.arguments(__doc__).parse_args()
    table = machine.Table(COLUMNS)
    table.head(f"block forward and backward: batch {BATCH}, width {WIDTH}, leaky relu, two masks")
    for threads in args.threads:
        with machine.threads(threads):
            for dilation in DILATIONS:
                table.add(measure(dilation, threads, args.seconds))
    table.finish(args.json)


if __name__ == "__main__":
    main()
