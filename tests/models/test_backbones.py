"""Backbones: shapes, reach in time, parameters, initialisation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daart_fast.errors import ConfigError
from daart_fast.models.rnn import RNN
from daart_fast.models.tcn import DilatedTCN, DilationBlock
from daart_fast.models.temporalmlp import TemporalMLP

Make = Callable[..., dict[str, Any]]
CLASSES = {"dtcn": DilatedTCN, "temporal-mlp": TemporalMLP, "lstm": RNN, "gru": RNN}


def twin_block(block: DilationBlock, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """A centred block without dropout, written with PyTorch's convolutions over (B, C, T)."""

    def convolve(conv: Any, y: Tensor) -> Tensor:
        norm = conv.weight_v.flatten(1).norm(dim=1)[:, None, None]
        weight, dilation = conv.weight_g * conv.weight_v / norm, conv.dilation[0]
        padding = (weight.shape[2] - 1) // 2 * dilation
        return F.conv1d(y, weight, conv.bias, padding=padding, dilation=dilation)

    y = x.transpose(1, 2)
    hidden = activation(convolve(block.conv1, activation(convolve(block.conv0, y))))
    if block.downsample is not None:
        y = F.conv1d(y, block.downsample.weight, block.downsample.bias)
    return activation(hidden + y).transpose(1, 2)


@pytest.mark.parametrize("widths", [(3, 5, 5), (5, 5, 5), (5, 5, 2)])
@pytest.mark.parametrize(
    ("name", "function"), [("lrelu", lambda y: F.leaky_relu(y, 0.05)), ("tanh", torch.tanh)]
)
def test_a_block_is_what_its_definition_says(
    widths: tuple[int, int, int], name: str, function: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    block = DilationBlock(*widths, kernel_size=5, dilation=4, activation=name).double()
    for conv in (block.conv0, block.conv1):
        nn.init.uniform_(conv.weight_g, 0.5, 2.0)
    x = torch.randn(2, 40, widths[0], dtype=torch.float64)
    assert torch.allclose(block(x), twin_block(block, x, function))


def test_dropout_zeroes_whole_channels_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    block = DilationBlock(4, 4, 4, kernel_size=3, dilation=1, activation="linear", dropout=0.25)
    x = torch.randn(1, 6, 4)
    with torch.no_grad():
        kept = block.conv1(block.conv0(x))
        for conv in (block.conv0, block.conv1):  # the identity: what is left is the dropout
            conv.weight_v.copy_(torch.eye(4)[..., None] * torch.tensor([0.0, 1.0, 0.0]))
            conv.weight_g.fill_(1.0)
            conv.bias.zero_()
        after = block(x.expand(20_000, -1, -1)) - x
        factors = after / x
    assert kept.shape == x.shape
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), atol=1e-4)
    values = factors[:, 0].round(decimals=3).unique()
    assert torch.allclose(values, torch.tensor([0.0, 1.778]), atol=1e-3)  # 1 / 0.75**2
    assert factors.mean().item() == pytest.approx(1.0, abs=0.01)
    block.eval()
    with torch.no_grad():
        assert torch.allclose(block(x), 2 * x, atol=1e-6)


def test_dropout_of_everything_leaves_the_residual() -> None:
    block = DilationBlock(4, 4, 4, kernel_size=3, dilation=1, activation="linear", dropout=1.0)
    x = torch.randn(2, 6, 4)
    assert torch.allclose(block(x), x)


@pytest.mark.parametrize("type", ["encoder", "decoder"])
@pytest.mark.parametrize("backbone", CLASSES)
def test_a_backbone_maps_between_inputs_and_hidden_units(
    make_hparams: Make, backbone: str, type: str
) -> None:
    hparams = make_hparams(backbone=backbone)
    model = CLASSES[backbone](hparams, type=type)
    first, last = (3, 5) if type == "encoder" else (5, 3)
    assert model(torch.randn(2, 30, first)).shape == (2, 30, last)


@pytest.mark.parametrize("backbone", CLASSES)
def test_sizes_can_be_given(make_hparams: Make, backbone: str) -> None:
    model = CLASSES[backbone](make_hparams(backbone=backbone), in_size=7, hid_size=4, out_size=2)
    assert model(torch.randn(2, 30, 7)).shape == (2, 30, 2)


@pytest.mark.parametrize("backbone", CLASSES)
def test_an_unknown_type_is_named(make_hparams: Make, backbone: str) -> None:
    with pytest.raises(ConfigError, match="'encoder' or 'decoder', not 'endoder'"):
        CLASSES[backbone](make_hparams(backbone=backbone), type="endoder")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("backbone", ["dtcn", "temporal-mlp"])
def test_the_context_is_what_the_gradient_reaches(
    make_hparams: Make, backbone: str, causal: bool
) -> None:
    model = CLASSES[backbone](make_hparams(backbone=backbone, causal=causal, activation="tanh"))
    x = torch.randn(1, 101, 3, requires_grad=True)
    model(x)[0, 50].sum().backward()
    reached = x.grad.abs().sum((0, 2)).nonzero().flatten()
    before, after = model.context
    assert (reached.min().item(), reached.max().item()) == (50 - before, 50 + after)
    assert after == 0 if causal else after == before


@pytest.mark.parametrize("backbone", ["dtcn", "temporal-mlp"])
def test_a_causal_context_is_twice_the_padding(make_hparams: Make, backbone: str) -> None:
    hparams = make_hparams(backbone=backbone, causal=True)
    assert CLASSES[backbone](hparams).context == (2 * hparams["sequence_pad"], 0)


def test_a_decoder_has_its_dilations_in_reverse_and_a_last_1x1(make_hparams: Make) -> None:
    hparams = make_hparams(n_hid_layers=3)
    blocks = {
        type: [m.conv0.dilation[0] for m in DilatedTCN(hparams, type=type).model[:3]]
        for type in ("encoder", "decoder")
    }
    assert blocks == {"encoder": [1, 2, 4], "decoder": [4, 2, 1]}
    last = list(DilatedTCN(hparams, type="decoder").model)[-1]
    assert last.weight.shape == (3, 3, 1)


def test_a_model_starts_as_pytorchs_layers_do(make_hparams: Make) -> None:
    torch.manual_seed(0)
    model = DilatedTCN(make_hparams(n_hid_units=64, input_size=8, n_lags=4))
    conv = model.model[1].conv0
    bound = 1 / (64 * 9) ** 0.5
    for values in (conv.weight_v, conv.bias):
        assert bound * 0.9 < values.abs().max() <= bound
    assert torch.allclose(conv.kernel(), conv.weight_v)
    downsample = model.model[0].downsample
    assert downsample.weight.std().item() == pytest.approx(0.01, rel=0.15)


def test_a_recurrent_model_is_the_stack_and_one_dense_layer(make_hparams: Make) -> None:
    model = RNN(make_hparams(backbone="gru", bidirectional=True))
    stack, dense = model.model["GRU_layer_00"], model.model["dense(prediction)_layer_01"]
    x = torch.randn(2, 30, 3)
    assert isinstance(stack, nn.GRU) and stack.bidirectional and stack.num_layers == 2
    assert torch.equal(model(x), dense(stack(x)[0]))


def test_a_causal_recurrent_model_must_be_one_way(make_hparams: Make) -> None:
    with pytest.raises(ConfigError, match="bidirectional: false"):
        RNN(make_hparams(backbone="lstm", causal=True, bidirectional=True))


@pytest.mark.parametrize("n_hid_layers", [0, 1, 3])
def test_a_temporal_mlp_has_one_activation_after_its_first_layer(
    make_hparams: Make, n_hid_layers: int
) -> None:
    model = TemporalMLP(make_hparams(backbone="temporal-mlp", n_hid_layers=n_hid_layers))
    x = torch.randn(2, 30, 3)
    y = model.model.conv1d_layer_00(x)
    for i in range(n_hid_layers):
        y = model.model.get_submodule(f"dense_layer_{i + 1:02d}")(
            F.leaky_relu(y, 0.05) if i == 0 else y
        )
    assert torch.allclose(model(x), y)


def test_a_dtcn_without_layers_is_refused(make_hparams: Make) -> None:
    with pytest.raises(ConfigError, match="n_hid_layers must be at least 1"):
        DilatedTCN(make_hparams(n_hid_layers=0, sequence_pad=0))
