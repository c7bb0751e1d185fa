"""The native module's own checks: a bad argument is a ValueError, never a crash."""

from __future__ import annotations

from typing import Any

import pytest
import torch

native = pytest.importorskip("daart_fast._native")

BUFFER = torch.zeros(4096)
P = BUFFER.data_ptr()
SIZES: dict[str, int] = {
    "batch": 2,
    "frames_in": 10,
    "frames_out": 10,
    "channels_in": 3,
    "channels_out": 4,
    "width": 3,
    "dilation": 1,
    "pad_left": 1,
    "x_stride": 30,
}

BAD_SIZES = [
    ({"batch": -1}, "batch must not be negative"),
    ({"frames_in": 0}, "at least one frame"),
    ({"frames_out": 0}, "at least one frame"),
    ({"channels_in": 0}, "at least one channel"),
    ({"channels_out": -4}, "at least one channel"),
    ({"width": 0}, "width must be at least 1"),
    ({"dilation": 0}, "dilation must be at least 1"),
    ({"pad_left": -1}, "padding must not be negative"),
    ({"frames_in": 2**41}, "a size is beyond"),
    ({"pad_left": 2**62}, "a size is beyond"),
    ({"dilation": 2**40}, "width \\* dilation"),
    ({"frames_in": 2**39, "channels_in": 2**39}, "more than 10\\^18 elements"),
    ({"batch": 0, "frames_out": 2**39, "channels_out": 2**39}, "more than 10\\^18 elements"),
    ({"frames_out": 7, "pad_left": 0}, "frames_out is fewer"),
]


def call(threads: int = 1) -> Any:
    return native.CpuCall(is_double=0, threads=threads)


def forward(activation: int = 0, threads: int = 1, **change: Any) -> None:
    sizes = native.ConvSizes(**{name: change.pop(name, SIZES[name]) for name in SIZES})
    tensors = native.ConvTensors(**dict.fromkeys(native.ConvTensors._fields, P) | change)
    native.conv_forward(call(threads), sizes, tensors, activation)


def backward(activation: int = 0, threads: int = 1, **change: Any) -> None:
    sizes = native.ConvSizes(**{name: change.pop(name, SIZES[name]) for name in SIZES})
    tensors = native.ConvGradients(**dict.fromkeys(native.ConvGradients._fields, P) | change)
    native.conv_backward(call(threads), sizes, tensors, activation)


def test_good_arguments_pass() -> None:
    forward()
    backward()
    assert native.runs_filtered(0, native.ConvSizes(**SIZES)) in (True, False)


@pytest.mark.parametrize(("change", "message"), BAD_SIZES)
def test_a_bad_size_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forward(**change)
    with pytest.raises(ValueError, match=message):
        backward(**change)
    with pytest.raises(ValueError, match=message):
        native.runs_filtered(0, native.ConvSizes(**SIZES | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_stride": -1}, "stride must not be negative"),
        ({"activation": 6}, "activation must be the number of one"),
        ({"activation": -1}, "activation must be the number of one"),
        ({"threads": 0}, "threads must lie between 1 and 1024"),
        ({"threads": 5000}, "threads must lie between 1 and 1024"),
    ],
)
def test_a_bad_setting_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forward(**change)
    with pytest.raises(ValueError, match=message):
        backward(**change)


@pytest.mark.parametrize("missing", ["x", "weight", "y"])
def test_forward_needs_its_tensors(missing: str) -> None:
    with pytest.raises(ValueError, match="x, weight and y must not be null"):
        forward(**{missing: 0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grad": 0}, "the gradient must not be null"),
        ({"gate": 0, "activation": 2}, "the activation's derivative needs its gate"),
        ({"weight": 0}, "the input gradient needs weight"),
        ({"x": 0}, "the weight gradient needs x"),
        ({"dweight": 0}, "the bias gradient comes with the weight gradient"),
    ],
)
def test_backward_needs_its_tensors(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backward(**change)


LAYERS = [3, 3, 3, 1, 1]  # hidden and out channels, width, dilation, left padding


def stack(backward: bool, **change: Any) -> None:
    """A stack of one block of 3 channels, of which some arguments are changed."""
    sizes = {"batch": 2, "frames": 10, "channels_in": 3, "first": 0, "wanted": 10}
    sizes = native.StackSizes(**{name: change.pop(name, sizes[name]) for name in sizes})
    layers, parameters = change.pop("layers", LAYERS), change.pop("parameters", [P] * 8)
    gradients, threads = change.pop("gradients", [P] * 8), change.pop("threads", 1)
    activation = change.pop("activation", 0)
    tensors = native.StackTensors(**dict.fromkeys(native.StackTensors._fields, P) | change)
    if backward:
        native.stack_backward(
            call(threads), sizes, layers, tensors, parameters, gradients, activation
        )
    else:
        native.stack_forward(call(threads), sizes, layers, tensors, parameters, activation)


def test_a_good_stack_passes() -> None:
    stack(False, masks=0)
    stack(True, masks=0)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": -1}, "batch must not be negative"),
        ({"frames": 0}, "at least one frame"),
        ({"layers": [0, *LAYERS[1:]]}, "at least one channel"),
        ({"layers": [3, 2**41, *LAYERS[2:]]}, "beyond all bounds"),
        ({"layers": [*LAYERS[:4], 3]}, "padding must lie within the taps"),
        ({"layers": LAYERS[:4]}, "five sizes for each block"),
        ({"layers": []}, "there must be a block"),
        ({"wanted": 11}, "do not lie within the sequence"),
        ({"x": 0}, "x.* must not be null"),
        ({"parameters": [0, *[P] * 7]}, "the weights must not be null"),
        ({"parameters": [P] * 7}, "eight parameters for each block"),
        ({"channels_in": 2, "parameters": [*[P] * 6, 0, 0]}, "the residual needs weights"),
        ({"activation": 7}, "activation must be the number of one"),
        ({"threads": 0}, "threads must lie"),
    ],
)
def test_a_bad_stack_is_refused(backward: bool, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stack(backward, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dy": 0}, "x, y and its gradient must not be null"),
        ({"saved": 0}, "needs what forward kept"),
        ({"gradients": [P] * 7}, "each parameter must have its gradient"),
        ({"gradients": [0, *[P] * 7]}, "each parameter must have its gradient"),
    ],
)
def test_the_backward_pass_of_a_stack_needs_its_tensors(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        stack(True, **change)


def test_only_the_struct_of_an_argument_is_taken_for_it() -> None:
    sizes, tensors = native.ConvSizes(**SIZES), native.ConvTensors(P, P, P, P)
    for wrong in (tuple(sizes), list(sizes), native.ErrorSizes(*[1] * 6)):
        with pytest.raises(TypeError):
            native.conv_forward(call(), wrong, tensors, 0)
    with pytest.raises(TypeError, match="pad_left"):
        native.ConvSizes(**{name: n for name, n in SIZES.items() if name != "pad_left"})


def test_every_argument_has_a_name() -> None:
    for name in dir(native):
        assert "arg0" not in (getattr(native, name).__doc__ or ""), name


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: native.set_method(3), "method must be 0 .auto., 1 .direct. or 2 .filtered."),
        (lambda: native.set_isa("sse9"), "instruction set 'sse9' cannot run here.*has .*generic"),
        (
            lambda: native.runs_filtered(3, native.ConvSizes(**SIZES)),
            "pass must lie between 0 and 2",
        ),
    ],
)
def test_other_bad_arguments_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize("argument", ["x", None, 1.5, 2**70, -(2**70)])
def test_a_wrong_type_is_a_type_error(argument: Any) -> None:
    with pytest.raises(TypeError):
        forward(batch=argument)


@pytest.mark.skipif(not hasattr(native, "fma_rate"), reason="built without the benchmarks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 0.1), "threads must"), ((1, -1.0), "seconds must"), ((1, float("nan")), "seconds must")],
)
def test_a_measurement_without_end_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        native.fma_rate(*arguments)
