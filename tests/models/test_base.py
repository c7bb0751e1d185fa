"""Activations, sampling, and files of weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from daart_fast.errors import ConfigError, DataError
from daart_fast.models.base import (
    BaseModel,
    Ensembler,
    Segmenter,
    get_activation_func_from_str,
    reparameterize_gaussian,
)


class Line(BaseModel):
    def __init__(self, n_inputs: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(n_inputs, 1)
        self.layer.bias.requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0.0, 0.0, 2.0]),
        ("lrelu", [-0.05, 0.0, 2.0]),
        ("sigmoid", [0.26894143, 0.5, 0.88079709]),
        ("tanh", [-0.76159418, 0.0, 0.96402758]),
    ],
)
def test_activations_by_name(name: str, expected: list[float]) -> None:
    activation = get_activation_func_from_str(name)
    assert activation is not None
    assert activation(torch.tensor([-1.0, 0.0, 2.0])).tolist() == pytest.approx(expected)


def test_linear_is_no_activation() -> None:
    assert get_activation_func_from_str("linear") is None


def test_an_unknown_activation_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"not 'leru'.*did you mean '"):
        get_activation_func_from_str("leru")


def test_samples_have_the_mean_and_standard_deviation_asked_for() -> None:
    torch.manual_seed(0)
    sample = reparameterize_gaussian(torch.full((200_000,), 3.0), torch.full((200_000,), 1.4))
    assert sample.mean().item() == pytest.approx(3.0, abs=0.02)
    assert sample.std().item() == pytest.approx(2.0137527, abs=0.02)  # exp(1.4 / 2)


def test_samples_are_differentiable_in_mean_and_log_variance() -> None:
    mu, logvar = torch.zeros(5, requires_grad=True), torch.zeros(5, requires_grad=True)
    reparameterize_gaussian(mu, logvar).sum().backward()
    assert torch.equal(mu.grad, torch.ones(5)) and logvar.grad.abs().min() > 0


def test_saved_weights_come_back(tmp_path: Path) -> None:
    saved, loaded = Line(), Line()
    path = tmp_path / "new" / "folder" / "weights.pt"
    saved.save(path)
    loaded.load_parameters_from_file(path)
    assert torch.equal(saved.layer.weight, loaded.layer.weight)
    assert [file.name for file in path.parent.iterdir()] == ["weights.pt"]


def test_only_trained_parameters_are_listed() -> None:
    model = Line()
    assert [p is model.layer.weight for p in model.get_parameters()] == [True]


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.pt: there is no such file"):
        Line().load_parameters_from_file(tmp_path / "absent.pt")


def test_a_file_that_is_no_state_dict_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.pt"
    path.write_text("weights")
    with pytest.raises(DataError, match=r"text\.pt: expected a torch state dict"):
        Line().load_parameters_from_file(path)


def test_pickled_code_in_a_file_of_weights_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return Path.touch, (trace,)  # type: ignore[return-value]

    torch.save({"layer.weight": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(DataError, match="expected a torch state dict"):
        Line().load_parameters_from_file(tmp_path / "evil.pt")
    assert not trace.exists()


def test_weights_of_other_settings_are_refused(tmp_path: Path) -> None:
    Line(3).save(tmp_path / "three.pt")
    with pytest.raises(DataError, match=r"(?s)three\.pt: .*other settings.*size mismatch"):
        Line(2).load_parameters_from_file(tmp_path / "three.pt")


def test_the_names_that_daart_keeps_in_base_are_there() -> None:
    import daart_fast.models

    assert Segmenter is daart_fast.models.Segmenter
    assert Ensembler is daart_fast.models.Ensembler
