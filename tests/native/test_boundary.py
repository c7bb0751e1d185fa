"""The native module called from Python: right at any shape, from any thread, and never a fault."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daart_fast import ops
from daart_fast.ops.native import native as _native

pytestmark = pytest.mark.skipif(_native is None, reason="the native module is not built")

SIZES = st.integers(1, 5)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 12),
    c_in=SIZES,
    c_out=SIZES,
    width=SIZES,
    dilation=st.integers(1, 4),
    padding=st.sampled_from(["same", "causal"]),
    activation=st.sampled_from(["linear", "lrelu", "sigmoid", "tanh", "silu"]),
)
def test_gradients_are_those_of_finite_differences(
    batch: int,
    frames: int,
    c_in: int,
    c_out: int,
    width: int,
    dilation: int,
    padding: str,
    activation: str,
) -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = [(batch, frames, c_in), (c_out, c_in, width), (c_out,)]
    tensors = [torch.randn(s, generator=draw, dtype=torch.float64) for s in shapes]
    tensors = [tensor.requires_grad_() for tensor in tensors]
    with ops.forced("native"):
        assert torch.autograd.gradcheck(
            lambda *t: ops.dilated_conv1d(*t, dilation, padding, activation),
            tensors,
            fast_mode=True,
        )


@pytest.mark.slow
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 10),
    channels=st.tuples(SIZES, SIZES, SIZES),
    width=SIZES,
    dilation=st.integers(1, 4),
    causal=st.booleans(),
    dropped=st.booleans(),
    activation=st.sampled_from(["linear", "lrelu", "sigmoid", "tanh", "silu"]),
)
def test_a_blocks_gradients_are_those_of_finite_differences(
    batch: int,
    frames: int,
    channels: tuple[int, int, int],
    width: int,
    dilation: int,
    causal: bool,
    dropped: bool,
    activation: str,
) -> None:
    c_in, hidden, c_out = channels
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()

    tensors = [drawn(batch, frames, c_in)]
    for rows, columns in ((hidden, c_in), (c_out, hidden)):
        tensors += [drawn(rows, columns, width), drawn(rows, 1, 1), drawn(rows)]
    residual = [drawn(c_out, c_in, 1), drawn(c_out)] if c_in != c_out else [None, None]
    masks = [None, None]
    if dropped:
        masks = [torch.bernoulli(torch.full((batch, n), 0.7).double()) for n in (hidden, c_out)]
    padding = "causal" if causal else "same"
    with ops.forced("native"):
        assert torch.autograd.gradcheck(
            lambda *t: ops.dilation_block(*t, *masks, dilation, padding, activation),
            [*tensors, *residual],
            fast_mode=True,
        )


def test_inputs_may_overlap_each_other() -> None:
    """Views of one piece of memory, broadcast ones too, are read as what they show."""
    memory = torch.randn(400, generator=torch.Generator().manual_seed(0))
    x = memory.as_strided((2, 20, 4), (30, 3, 1))  # frames share channels, sequences frames
    weight = memory.as_strided((4, 4, 3), (5, 3, 1), 7)
    bias = memory[3].expand(4)
    found = ops.dilated_conv1d(x, weight, bias)
    with ops.forced("torch"):
        expected = ops.dilated_conv1d(x.clone(), weight.clone(), bias.clone())
    torch.testing.assert_close(found, expected)
    assert torch.equal(memory, torch.randn(400, generator=torch.Generator().manual_seed(0)))


#: as ConvSizes has them
GOOD = [1, 10, 10, 3, 3, 3, 1, 1, 30]


def refusal(sizes: list[int]) -> str:
    """What the native module says of such a convolution; its tensors are null, whatever it says."""
    assert _native is not None
    with pytest.raises(ValueError) as caught:
        _native.conv_forward(
            _native.CpuCall(0, 1), _native.ConvSizes(*sizes), _native.ConvTensors(0, 0, 0, 0), 0
        )
    return str(caught.value)


@pytest.mark.parametrize("place", range(len(GOOD)))
@pytest.mark.parametrize("size", [-(2**62), -1, 2**40 + 1, 2**62])
def test_a_size_beyond_reason_is_refused(place: int, size: int) -> None:
    assert "null" in refusal(GOOD)
    assert "null" not in refusal([*GOOD[:place], size, *GOOD[place + 1 :]])


def test_sizes_whose_product_overflows_are_refused() -> None:
    assert "10^18" in refusal([2**33, 2**33, 2**33, 2**33, 2**33, 3, 1, 1, 0])


#: hidden and out channels, width, dilation, left padding
LAYER = [8, 8, 3, 1, 1]
#: as ObjectiveSizes has them
OBJECTIVE = [2, 50, 5, 4, 3, 40, 15, 2, 0]
DECODER = [8, 5, 3, 1, 1]


def test_a_network_whose_tensors_overflow_is_refused() -> None:
    assert _native is not None
    shape = _native.ObjectiveSizes
    assert _native.objective_saved(False, shape(*OBJECTIVE), LAYER, DECODER) > 0
    for sizes, encoder, decoder in (
        ([2**20, 2**36, *OBJECTIVE[2:]], LAYER, DECODER),
        ([*OBJECTIVE[:3], 2**20, *OBJECTIVE[4:]], [2**20, 8, 2**20, 1, 1], DECODER),
        ([2**15, 2**20, 5, 2**20, *OBJECTIVE[4:]], LAYER, DECODER),
        (OBJECTIVE, LAYER, [2**20, 5, 2**20, 1, 1]),
    ):
        with pytest.raises(ValueError, match="10\\^15"):
            _native.objective_saved(False, shape(*sizes), encoder, decoder)
    with pytest.raises(ValueError, match="10\\^1"):
        _native.stack_saved(_native.StackSizes(2**20, 2**30, 2**20, 0, 1), LAYER * 64, 0)


def refused(tensors: dict[str, int] | None = None, threads: int = 1, **changes: object) -> str:
    """What an objective's call with some arguments changed is refused with."""
    assert _native is not None
    parameters = [1] * (8 + 4 + 2 * (8 + 2))
    arguments: dict[str, object] = {
        "call": _native.CpuCall(0, threads),
        "sizes": _native.ObjectiveSizes(*OBJECTIVE),
        "encoder": LAYER,
        "decoder": DECODER,
        "weights": [1.0] * 4,
        "tensors": _native.ObjectiveTensors(*[1] * 10)._replace(**tensors or {}),
        "parameters": parameters,
        "gradients": parameters,
    }
    with pytest.raises(ValueError) as caught:
        _native.objective_gradients(**arguments | changes)
    return str(caught.value)


def test_a_step_whose_addresses_do_not_fit_is_refused() -> None:
    parameters = [1] * 32
    assert "labels" in refused({"labels_weak": 0})
    assert "more or fewer" in refused(parameters=[1] * 31)
    assert "weights must not be null" in refused(parameters=[0] * 32)
    assert "its gradient" in refused(gradients=[1] * 31)
    assert "its gradient" in refused(gradients=[*parameters[:-1], 0])
    assert "values and saved" in refused({"values": 0})
    assert "values and saved" in refused({"saved": 0})
    assert "make what the encoder gets" in refused(decoder=LAYER)
    assert "threads" in refused(threads=0)


def test_calls_from_several_threads_at_once_are_right() -> None:
    draw = torch.Generator().manual_seed(0)
    cases = [
        (torch.randn(2, 40 + i, 8, generator=draw), torch.randn(16, 8, 9, generator=draw))
        for i in range(8)
    ]
    alone = [ops.dilated_conv1d(x, weight) for x, weight in cases]
    barrier = threading.Barrier(len(cases))

    def run(i: int) -> bool:
        torch.set_num_threads(1)
        barrier.wait()
        return all(torch.equal(ops.dilated_conv1d(*cases[i]), alone[i]) for _ in range(50))

    with ThreadPoolExecutor(len(cases)) as pool:
        assert all(pool.map(run, range(len(cases))))


def test_tensors_made_here_may_be_used_and_freed_on_another_thread() -> None:
    x = torch.ones(2, 30, 4, requires_grad=True)
    weight = torch.ones(6, 4, 3, requires_grad=True)
    outputs = [ops.dilated_conv1d(x, weight)]

    def backward() -> None:
        outputs.pop().sum().backward()

    thread = threading.Thread(target=backward)
    thread.start()
    thread.join()
    again = ops.dilated_conv1d(x, weight).sum()
    expected = torch.autograd.grad(again, [x, weight])
    torch.testing.assert_close(x.grad, expected[0])
    torch.testing.assert_close(weight.grad, expected[1])
