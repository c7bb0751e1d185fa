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


def forward(**change: Any) -> None:
    given = {"x": P, "weight": P, "bias": P, "y": P} | SIZES
    given |= {"x_stride": 30, "activation": 0, "threads": 1} | change
    native.conv_forward(False, *given.values())


def backward(**change: Any) -> None:
    tensors = dict.fromkeys(("g", "x", "weight", "y", "dx", "dweight", "dbias"), P)
    given = tensors | SIZES | {"x_stride": 30, "activation": 0, "threads": 1} | change
    native.conv_backward(False, *given.values())


def test_good_arguments_pass() -> None:
    forward()
    backward()
    assert native.runs_filtered(0, *SIZES.values()) in (True, False)


@pytest.mark.parametrize(("change", "message"), BAD_SIZES)
def test_a_bad_size_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forward(**change)
    with pytest.raises(ValueError, match=message):
        backward(**change)
    with pytest.raises(ValueError, match=message):
        native.runs_filtered(0, *(SIZES | change).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_stride": -1}, "stride must not be negative"),
        ({"activation": 5}, "activation must lie between 0 and 4"),
        ({"activation": -1}, "activation must lie between 0 and 4"),
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
        ({"g": 0}, "g must not be null"),
        ({"y": 0, "activation": 2}, "the activation's derivative needs y"),
        ({"weight": 0}, "the input gradient needs weight"),
        ({"x": 0}, "the weight gradient needs x"),
        ({"dweight": 0}, "the bias gradient comes with the weight gradient"),
    ],
)
def test_backward_needs_its_tensors(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backward(**change)


BLOCK_SIZES = [2, 10, 3, 3, 3, 3, 1, 1]


def block(backward: bool, **change: Any) -> None:
    """A block of 3 channels; ``change`` sets items of the lists, by index."""
    lists = {
        "tensors": [P] * 11,
        "saved": [P] * 4,
        "gradients": [P] * 9,
        "sizes": list(BLOCK_SIZES),
    }
    for name, items in change.items():
        for i, value in items.items() if name in lists else ():
            lists[name][i] = value
    end = (change.get("activation", 0), change.get("threads", 1))
    if backward:
        dy = change.get("dy", P)
        native.block_backward(
            False, lists["tensors"], lists["saved"], dy, lists["gradients"], lists["sizes"], *end
        )
    else:
        native.block_forward(False, lists["tensors"], lists["saved"], lists["sizes"], *end)


def test_a_good_block_passes() -> None:
    block(False)
    block(True)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": {0: -1}}, "batch must not be negative"),
        ({"sizes": {1: 0}}, "at least one frame"),
        ({"sizes": {3: 0}}, "at least one channel"),
        ({"sizes": {4: 2**41}}, "beyond 2\\^40"),
        ({"sizes": {7: 3}}, "frames_out is fewer"),
        ({"tensors": {0: 0}}, "x must not be null"),
        ({"tensors": {1: 0}}, "the weights must not be null"),
        ({"tensors": {5: 0}}, "the weights must not be null"),
        ({"sizes": {2: 2}, "tensors": {7: 0}}, "the residual needs weights"),
        ({"activation": 7}, "activation must lie"),
        ({"threads": 0}, "threads must lie"),
    ],
)
def test_a_bad_block_is_refused(backward: bool, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block(backward, **change)


@pytest.mark.parametrize(
    ("backward", "change", "message"),
    [
        (False, {"saved": {0: 0}}, "y must not be null"),
        (True, {"dy": 0}, "needs the gradient and what forward kept"),
        (True, {"saved": {2: 0}}, "needs the gradient and what forward kept"),
        (True, {"saved": {3: 0}}, "needs the weights that forward kept"),
        (True, {"gradients": {4: 0}}, "all or none"),
        (True, {"tensors": {7: 0}}, "there are no weights in the residual"),
    ],
)
def test_a_block_needs_its_tensors(backward: bool, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block(backward, **change)


def test_a_list_of_the_wrong_length_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        native.block_forward(False, [P] * 10, [P] * 4, BLOCK_SIZES, 0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: native.set_method(3), "method must be 0 .auto., 1 .direct. or 2 .filtered."),
        (lambda: native.set_isa("sse9"), "instruction set 'sse9' cannot run here.*has .*generic"),
        (lambda: native.fma_rate(0, 0.1), "threads must lie between"),
        (lambda: native.fma_rate(1, -1.0), "seconds must lie between"),
        (lambda: native.fma_rate(1, float("nan")), "seconds must lie between"),
        (lambda: native.runs_filtered(3, *SIZES.values()), "pass must lie between 0 and 2"),
    ],
)
def test_other_bad_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("argument", ["x", None, 1.5, 2**70, -(2**70)])
def test_a_wrong_type_is_a_type_error(argument: Any) -> None:
    with pytest.raises(TypeError):
        forward(batch=argument)
