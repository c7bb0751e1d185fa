"""Losses: what they are on small numbers, and that nothing to score is zero, never NaN."""

import math

import pytest
import torch
import torch.nn.functional as F

from daart_fast.models import loss_terms as losses

REDUCTIONS = ("batch", "sequence")


def random_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 7, 4, generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (3, 7), generator=generator)
    return logits, labels


def test_binary_cross_entropy_scores_known_behaviours_each_by_its_own_sigmoid() -> None:
    logits, _ = random_batch()
    labels = (torch.rand(3, 7, 4) > 0.5).float()
    labels[0, 1, 2] = torch.nan
    known = ~labels.isnan()
    expected = F.binary_cross_entropy_with_logits(logits[known], labels[known])
    loss = losses.binary_cross_entropy(logits, labels)
    loss.backward()
    assert torch.allclose(loss, expected)
    assert logits.grad.isfinite().all() and logits.grad[0, 1, 2] == 0


def test_binary_cross_entropy_without_labels_is_zero_with_zero_gradient() -> None:
    logits, _ = random_batch()
    loss = losses.binary_cross_entropy(logits, torch.full_like(logits, torch.nan))
    loss.backward()
    assert loss.item() == 0.0 and not logits.grad.any()


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_kl_divergence_is_torchs(reduce: str) -> None:
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    posterior = torch.distributions.Normal(mu, torch.exp(logvar / 2))
    prior = torch.distributions.Normal(0.0, 1.0)
    frames = torch.distributions.kl_divergence(posterior, prior).sum(-1)
    expected = frames.mean() if reduce == "batch" else frames.mean(1)
    assert torch.allclose(losses.kl_div_to_std_normal(mu, logvar, reduce=reduce), expected)


def test_kl_divergence_of_a_standard_normal_is_zero() -> None:
    zeros = torch.zeros(4, 3)
    assert losses.kl_div_to_std_normal(zeros, zeros).item() == 0.0


def test_binary_accuracy_counts_known_behaviours_alone() -> None:
    logits = torch.tensor([[[2.0, -1.0, 3.0]]])
    labels = torch.tensor([[[1.0, 1.0, torch.nan]]])
    assert losses.binary_accuracy(logits, labels).item() == 0.5


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_r2_is_that_of_scikit_learn(reduce: str) -> None:
    from sklearn.metrics import r2_score

    torch.manual_seed(0)
    targets = torch.randn(2, 20, 3) * torch.tensor([1.0, 5.0, 0.1])
    predictions = targets + 0.3 * torch.randn(2, 20, 3)
    mask = torch.rand(2, 20) > 0.3
    ours = losses.r2_score(predictions, targets, mask, reduce)
    chosen = [mask] if reduce == "batch" else [torch.tensor([[True], [False]]) & mask]
    if reduce == "sequence":
        chosen.append(torch.tensor([[False], [True]]) & mask)
    expected = [r2_score(targets[m].numpy(), predictions[m].numpy()) for m in chosen]
    assert ours.flatten().tolist() == pytest.approx(expected, rel=1e-4)


def test_r2_leaves_out_tasks_that_do_not_vary() -> None:
    targets = torch.stack([torch.full((1, 9), 0.1), torch.arange(9.0)[None]], dim=-1)
    mask = torch.ones(1, 9, dtype=torch.bool)
    assert losses.r2_score(targets + 0.01, targets, mask).item() == pytest.approx(1, abs=1e-3)
    assert losses.r2_score(targets[..., :1], targets[..., :1], mask).item() == 0.0
    assert math.isnan(losses.r2_score(targets[..., :1], targets[..., :1], mask, "sequence").item())


def test_an_unknown_reduction_is_named() -> None:
    with pytest.raises(ValueError, match="'mean'"):
        losses.masked_mean(torch.ones(2, 2), torch.ones(2, 2), "mean")
