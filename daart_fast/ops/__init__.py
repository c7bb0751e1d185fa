"""The kernels' front door. Nothing outside this folder knows which backend ran."""

from daart_fast.ops.adam import Adam
from daart_fast.ops.backends import forced, report
from daart_fast.ops.block import dilation_block
from daart_fast.ops.conv import dilated_conv1d
from daart_fast.ops.losses import linear_cross_entropy, squared_error
from daart_fast.ops.objective import (
    HEADS,
    Network,
    ObjectiveInputs,
    can_take_objective,
    objective_gradients,
)
from daart_fast.ops.stack import BlockParameters, dilation_stack

__all__ = [
    "HEADS",
    "Adam",
    "BlockParameters",
    "Network",
    "ObjectiveInputs",
    "can_take_objective",
    "dilated_conv1d",
    "dilation_block",
    "dilation_stack",
    "forced",
    "linear_cross_entropy",
    "objective_gradients",
    "report",
    "squared_error",
]
