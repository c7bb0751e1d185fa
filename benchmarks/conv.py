"""Dilated convolution against the machine's FMA peak and against PyTorch's own conv1d.

    python -m benchmarks.conv [--threads 1 2] [--sections NAME ...] [--json FILE]

``value`` is the fraction of the FMA peak that was measured in the same run, for the instruction
set in use, counting the multiply-adds of the direct method: minimal filtering needs fewer, so above
1 is possible. Times are medians, weight transforms included. A single pass is the operator alone on
both sides (autograd's bookkeeping is the same for both, and a fifth of a small call); forward and
backward together go through the public operation and autograd. PyTorch's are of ``conv1d`` on
(B, C, T), the layout that suits it; ``compiled`` is the ratio to that under torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import machine
from daart_fast import ops
from daart_fast.ops import operators_conv
from daart_fast.ops.native import native

FORWARD, INPUT, WEIGHT, ALL = "forward", "input grad", "weight grad", "forward+backward"
BATCH = 8

# the bar with one thread, and with more
Bars = tuple[float, float]


@dataclass(frozen=True)
class Section:
    """Shapes that are held to the same bars."""

    name: str
    passes: dict[str, Bars | None]
    channels: tuple[tuple[int, int], ...] = ((32, 32),)
    widths: tuple[int, ...] = (9,)
    dilations: tuple[int, ...] = (1,)
    frames: tuple[int, ...] = (548, 1240)
    isa: str | None = None
    conv: str | None = None
    ratio_bars: dict[int, float] = field(default_factory=dict)  # by dilation, against PyTorch


SECTIONS = (
    Section(
        "main",
        {FORWARD: (2.3, 2.1), INPUT: (2.1, 1.9), WEIGHT: (1.8, 1.6)},
        channels=((32, 32), (64, 64)),
        dilations=(1, 2, 4, 8, 16),
    ),
    Section(
        "dilation-64",
        {FORWARD: (1.3, 1.2), INPUT: (1.3, 1.2), WEIGHT: (1.3, 1.2)},
        dilations=(64,),
        frames=(1240,),
    ),
    Section("width-5", {FORWARD: (1.6, 1.4)}, widths=(5,)),
    Section("width-17", {FORWARD: (2.0, 1.8)}, widths=(17,)),
    Section(
        "direct",
        {FORWARD: (0.90, 0.85), INPUT: (0.90, 0.85), WEIGHT: (0.90, 0.85)},
        channels=((32, 32), (64, 64)),
        dilations=(1, 8),
        conv="direct",
    ),
    Section("inputs", {FORWARD: (0.9, 0.8)}, channels=((6, 32), (20, 32), (55, 32))),
    Section(
        "avx2",
        {FORWARD: (1.4, 1.3)},
        channels=((32, 32), (64, 64)),
        dilations=(1, 2, 8),
        isa="avx2",
    ),
    Section("torch", {ALL: None}, dilations=(1, 8), ratio_bars={1: 2.5, 8: 4.5}),
)
COLUMNS = dict.fromkeys(("c_in", "c_out", "width", "dilation", "frames", "threads"), 8) | {
    "pass": 16,
    "value": 6,
    "bar": 5,
    "pytorch": 7,
    "ratio": 6,
    "compiled": 8,
    "filtered": 8,
    "apart, ns": 9,
}


@dataclass(frozen=True)
class Shape:
    c_in: int
    c_out: int
    width: int
    dilation: int
    frames: int

    @property
    def multiply_adds(self) -> int:
        return BATCH * self.frames * self.c_in * self.c_out * self.width


def shapes(section: Section) -> Iterator[Shape]:
    for c_in, c_out in section.channels:
        for width in section.widths:
            for dilation in section.dilations:
                for frames in section.frames:
                    yield Shape(c_in, c_out, width, dilation, frames)


def sides(shape: Shape, which: str) -> list[Callable[[], object]]:
    """One pass by the operation, by PyTorch, and, of the whole, by torch.compile where that can."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, shape.frames, shape.c_in, generator=draw)
    weight = torch.randn(shape.c_out, shape.c_in, shape.width, generator=draw) * 0.05
    bias = torch.randn(shape.c_out, generator=draw)
    grad = torch.randn(BATCH, shape.frames, shape.c_out, generator=draw)
    span = shape.dilation * (shape.width - 1)

    def own(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.dilated_conv1d(x, weight, bias, shape.dilation, "same")

    def pytorch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(x, weight, bias, padding=span // 2, dilation=shape.dilation)

    x_torch, grad_torch = (t.transpose(1, 2).contiguous() for t in (x, grad))
    if which == ALL:
        both = [
            differentiated(own, (x, weight, bias), grad),
            differentiated(pytorch, (x_torch, weight, bias), grad_torch),
        ]
        if machine.can_compile():
            compiled = machine.compiled(pytorch)
            both.append(differentiated(compiled, (x_torch, weight, bias), grad_torch))
        return both
    if which == FORWARD:
        return [lambda: own(x, weight, bias), lambda: pytorch(x_torch, weight, bias)]
    need = [which == INPUT, which == WEIGHT, which == WEIGHT]
    one = [1]
    return [
        lambda: operators_conv.conv_backward(
            grad, x, weight, None, shape.dilation, span // 2, 0, *need
        ),
        lambda: torch.ops.aten.convolution_backward(
            *(grad_torch, x_torch, weight, bias.shape),
            *(one, [span // 2], [shape.dilation], False, [0], 1, need),
        ),
    ]


def differentiated(
    function: Callable[[Tensor, Tensor, Tensor], Tensor], values: tuple[Tensor, ...], grad: Tensor
) -> Callable[[], object]:
    """The function's call and the gradients of all its arguments."""
    leaves = [t.clone().requires_grad_() for t in values]
    return lambda: torch.autograd.grad(function(*leaves), leaves, grad)


def goes_filtered(shape: Shape, which: str) -> str:
    """Which of the pass's convolutions are filtered."""
    assert native is not None
    passes = {FORWARD: [0], INPUT: [1], WEIGHT: [2], ALL: [0, 1, 2]}[which]
    span = shape.dilation * (shape.width - 1)
    sizes = native.ConvSizes(
        batch=BATCH,
        frames_in=shape.frames,
        frames_out=shape.frames,
        channels_in=shape.c_in,
        channels_out=shape.c_out,
        width=shape.width,
        dilation=shape.dilation,
        pad_left=span // 2,
        x_stride=shape.frames * shape.c_in,
    )
    filtered = [native.runs_filtered(number, sizes) for number in passes]
    return "yes" if all(filtered) else "partly" if any(filtered) else "no"


def measure(
    section: Section, shape: Shape, which: str, threads: int, seconds: float
) -> machine.Row:
    apart = machine.round_trip(threads)
    peak = machine.fma_peak(threads)
    own, pytorch, *compiled = machine.medians(sides(shape, which), seconds)
    peak = max(peak, machine.fma_peak(threads))
    work = shape.multiply_adds * (3 if which == ALL else 1)
    bars = section.passes[which]
    row: machine.Row = {
        **vars(shape),
        "section": section.name,
        "threads": threads,
        "pass": which,
        "value": work / own / peak,
        "bar": bars[threads > 1] if bars else None,
        "pytorch": work / pytorch / peak,
        "ratio": pytorch / own,
        "compiled": compiled[0] / own if compiled else None,
        "filtered": goes_filtered(shape, which),
        "apart, ns": apart,
        "seconds": own,
        "seconds_pytorch": pytorch,
    }
    if section.ratio_bars:
        row |= {"value": row["ratio"], "bar": section.ratio_bars[shape.dilation]}
    return row


def main() -> None:
    parser = machine.arguments(__doc__)
    names = [section.name for section in SECTIONS]
    parser.add_argument("--sections", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    table = machine.Table(COLUMNS)
    for section in SECTIONS:
        if section.name not in args.sections:
            continue
        if section.isa is not None and (native is None or section.isa not in native.isas()):
            continue
        note = "; value and bar are the ratio" if section.ratio_bars else ""
        table.head(f"{section.name}: batch {BATCH}, fractions of the FMA peak{note}")
        for threads in args.threads:
            with machine.threads(threads), ops.forced(isa=section.isa, conv=section.conv):
                for shape in shapes(section):
                    for which in section.passes:
                        table.add(measure(section, shape, which, threads, args.seconds))
    table.finish(args.json)


if __name__ == "__main__":
    main()
