"""The native module (csrc/python). Tensors are addresses; 0 stands for none.

Functions whose name begins with ``cuda_``, and ``cuda_version``, are there only where it was built
with CUDA; ``fma_rate`` and ``round_trip`` where it was built for the benchmarks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

activations: dict[str, bool]
openmp: bool
compiler: str

def isas() -> list[str]: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def method() -> int: ...
def set_method(number: int) -> None: ...

class CpuCall(NamedTuple):
    is_double: int
    threads: int

class CudaCall(NamedTuple):
    math: int
    device: int
    stream: int
    workspace: int

# ---------------------------------------------------------------- convolution

class ConvSizes(NamedTuple):
    batch: int
    frames_in: int
    frames_out: int
    channels_in: int
    channels_out: int
    width: int
    dilation: int
    pad_left: int
    x_stride: int

class ConvTensors(NamedTuple):
    x: int
    weight: int
    bias: int
    y: int

class ConvGradients(NamedTuple):
    grad: int
    x: int
    weight: int
    gate: int
    dx: int
    dweight: int
    dbias: int

def conv_forward(
    call: CpuCall, sizes: ConvSizes, tensors: ConvTensors, activation: int
) -> None: ...
def conv_backward(
    call: CpuCall, sizes: ConvSizes, tensors: ConvGradients, activation: int
) -> None: ...
def runs_filtered(pass_number: int, sizes: ConvSizes) -> bool: ...
def cuda_conv_forward(
    call: CudaCall, sizes: ConvSizes, tensors: ConvTensors, activation: int
) -> None: ...
def cuda_conv_backward(
    call: CudaCall, sizes: ConvSizes, tensors: ConvGradients, activation: int
) -> None: ...
def cuda_conv_backward_bytes(call: CudaCall, sizes: ConvSizes) -> int: ...

# ---------------------------------------------------------------- blocks

class StackSizes(NamedTuple):
    batch: int
    frames: int
    channels_in: int
    first: int
    wanted: int

class StackTensors(NamedTuple):
    x: int
    masks: int
    y: int
    saved: int
    dy: int
    dx: int

def stack_saved(sizes: StackSizes, layers: Sequence[int], activation: int) -> int: ...
def stack_forward(
    call: CpuCall,
    sizes: StackSizes,
    layers: Sequence[int],
    tensors: StackTensors,
    parameters: Sequence[int],
    activation: int,
) -> None: ...
def stack_backward(
    call: CpuCall,
    sizes: StackSizes,
    layers: Sequence[int],
    tensors: StackTensors,
    parameters: Sequence[int],
    gradients: Sequence[int],
    activation: int,
) -> None: ...

class BlockSizes(NamedTuple):
    batch: int
    frames: int
    channels_in: int
    channels_hidden: int
    channels_out: int
    width: int
    dilation: int
    pad_left: int
    mask_stride: int

class BlockInputs(NamedTuple):
    x: int
    v0: int
    gain0: int
    bias0: int
    v1: int
    gain1: int
    bias1: int
    residual_weight: int
    residual_bias: int
    mask0: int
    mask1: int

class BlockOutputs(NamedTuple):
    y: int
    hidden: int
    inner: int
    norms: int
    hidden_before: int
    y_before: int

class BlockLeaves(NamedTuple):
    x: int
    v0: int
    gain0: int
    bias0: int
    v1: int
    gain1: int
    bias1: int
    residual_weight: int
    residual_bias: int

def cuda_block_forward(
    call: CudaCall, sizes: BlockSizes, inputs: BlockInputs, outputs: BlockOutputs, activation: int
) -> None: ...
def cuda_block_backward(
    call: CudaCall,
    sizes: BlockSizes,
    inputs: BlockInputs,
    saved: BlockOutputs,
    dy: int,
    gradients: BlockLeaves,
    activation: int,
) -> None: ...
def cuda_block_backward_bytes(call: CudaCall, sizes: BlockSizes) -> int: ...

# ---------------------------------------------------------------- losses

class HeadSizes(NamedTuple):
    batch: int
    frames: int
    channels: int
    classes: int
    first: int
    scored: int

class HeadTensors(NamedTuple):
    x: int
    weight: int
    bias: int
    class_weights: int
    labels: int
    unless: int
    compared: int
    mask: int
    targets: int
    slopes: int
    loss: int
    agreement: int
    factor: int

class HeadGradients(NamedTuple):
    x: int
    weight: int
    targets: int
    slopes: int
    factor: int
    grad: int
    dx: int
    dweight: int
    dbias: int

class ErrorSizes(NamedTuple):
    batch: int
    frames: int
    channels: int
    first: int
    scored: int
    ahead: int

class ErrorTensors(NamedTuple):
    prediction: int
    target: int
    mask: int
    loss: int
    factor: int

class ErrorGradients(NamedTuple):
    prediction: int
    target: int
    mask: int
    factor: int
    grad: int
    dprediction: int

def head_loss(
    call: CpuCall, sizes: HeadSizes, tensors: HeadTensors, ignored: int, by_sequence: bool
) -> None: ...
def head_loss_grad(
    call: CpuCall, sizes: HeadSizes, tensors: HeadGradients, by_sequence: bool
) -> None: ...
def squared_error(
    call: CpuCall, sizes: ErrorSizes, tensors: ErrorTensors, by_sequence: bool
) -> None: ...
def squared_error_grad(
    call: CpuCall, sizes: ErrorSizes, tensors: ErrorGradients, by_sequence: bool
) -> None: ...
def cuda_head_loss(
    call: CudaCall, sizes: HeadSizes, tensors: HeadTensors, ignored: int, by_sequence: bool
) -> None: ...
def cuda_head_loss_bytes(call: CudaCall, sizes: HeadSizes) -> int: ...
def cuda_head_loss_grad(
    call: CudaCall, sizes: HeadSizes, tensors: HeadGradients, by_sequence: bool
) -> None: ...
def cuda_head_loss_grad_bytes(call: CudaCall, sizes: HeadSizes) -> int: ...
def cuda_squared_error(
    call: CudaCall, sizes: ErrorSizes, tensors: ErrorTensors, by_sequence: bool
) -> None: ...
def cuda_squared_error_bytes(call: CudaCall, sizes: ErrorSizes) -> int: ...
def cuda_squared_error_grad(
    call: CudaCall, sizes: ErrorSizes, tensors: ErrorGradients, by_sequence: bool
) -> None: ...

# ---------------------------------------------------------------- a segmenter's step

class ObjectiveSizes(NamedTuple):
    batch: int
    frames: int
    inputs: int
    classes: int
    first: int
    scored: int
    heads: int
    activation: int
    ignored: int

class ObjectiveTensors(NamedTuple):
    x: int
    mask: int
    labels_strong: int
    labels_weak: int
    class_weights: int
    encoder_masks: int
    predictor_masks: int
    decoder_masks: int
    values: int
    saved: int

def objective_saved(
    is_double: bool, sizes: ObjectiveSizes, encoder: Sequence[int], decoder: Sequence[int]
) -> int: ...
def objective_gradients(
    *,
    call: CpuCall,
    sizes: ObjectiveSizes,
    encoder: Sequence[int],
    decoder: Sequence[int],
    weights: Sequence[float],
    tensors: ObjectiveTensors,
    parameters: Sequence[int],
    gradients: Sequence[int],
) -> None: ...
def adam(
    *,
    parameters: Sequence[int],
    gradients: Sequence[int],
    means: Sequence[int],
    squares: Sequence[int],
    largest_squares: Sequence[int],
    steps: Sequence[int],
    counts: Sequence[int],
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    threads: int,
) -> None: ...

# ---------------------------------------------------------------- frame by frame

class OnlineEngine:
    def __init__(
        self,
        *,
        layers: Sequence[dict[str, Any]],
        raw_channels: int,
        source: Sequence[int],
        likelihood: Sequence[int],
        threshold: float,
        mean: Any,
        scale: Any,
        sigmoid: bool,
        streams: int,
        hold: int,
    ) -> None: ...
    def step(self, frame: Any, out: Any = None) -> Any: ...
    def run(self, frames: Any) -> Any: ...
    def run_beyond(self, frames: int) -> Any: ...
    def prepare(self) -> None: ...
    def reset(self) -> None: ...
    def state(self) -> Any: ...
    def load_state(self, state: Any, frames: int) -> None: ...
    @property
    def frames(self) -> int: ...
    @property
    def held(self) -> Any: ...
    @property
    def work(self) -> int: ...

# ---------------------------------------------------------------- what was built

cuda_version: str
cuda_architectures: str
cuda_most_classes: int

def fma_rate(threads: int, seconds: float) -> float: ...
def round_trip() -> float: ...
