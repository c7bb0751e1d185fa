"""Prediction of whole sessions: every frame once, whatever the length, the same each time."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from daart_fast.backbones import BACKBONES
from daart_fast.data.sessions import Session, statistics
from daart_fast.errors import ConfigError, DataError
from daart_fast.models import Segmenter, export_states, predict_inputs

Make = Callable[..., dict[str, Any]]
FEED_FORWARD = ("dtcn", "temporal-mlp")


def session(n_frames: int, n_channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_frames, n_channels)).astype(np.float32)


@pytest.mark.parametrize("n_frames", [1, 2, 19, 20, 21, 137])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_frame_is_answered_once(
    make_hparams: Make, backbone: str, causal: bool, n_frames: int
) -> None:
    model = Segmenter(make_hparams(backbone=backbone, causal=causal, lambda_task=1, task_size=2))
    answer = predict_inputs(model, session(n_frames))
    assert {name: (value.shape, value.dtype) for name, value in answer.items()} == {
        name: ((n_frames, width), np.float32)
        for name, width in {"labels": 4, "scores": 4, "embedding": 5, "task_predictions": 2}.items()
    }
    np.testing.assert_allclose(answer["labels"].sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("backbone", FEED_FORWARD)
def test_one_pass_is_the_model_between_zeros(
    make_hparams: Make, backbone: str, causal: bool
) -> None:
    hparams = make_hparams(backbone=backbone, causal=causal)
    model, x = Segmenter(hparams).eval(), session(50)
    pad = hparams["sequence_pad"]
    before, after = (2 * pad, 0) if causal else (pad, pad)
    padded = np.pad(x, ((before, after), (0, 0)))
    with torch.no_grad():
        logits = model(torch.from_numpy(padded)[None])["labels"][0, before : before + 50]
    np.testing.assert_allclose(predict_inputs(model, x)["scores"], logits, atol=1e-5)


@pytest.mark.parametrize("chunk_frames", [1, 7, 36, 99, 100])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("backbone", FEED_FORWARD)
def test_chunks_say_what_one_pass_says(
    make_hparams: Make, backbone: str, causal: bool, chunk_frames: int
) -> None:
    model, x = Segmenter(make_hparams(backbone=backbone, causal=causal)), session(100)
    whole = predict_inputs(model, x)
    chunked = predict_inputs(model, x, chunk_frames=chunk_frames)
    for name, value in whole.items():
        np.testing.assert_allclose(chunked[name], value, atol=2e-6)


@pytest.mark.parametrize("backbone", ["lstm", "gru"])
def test_a_recurrent_model_starts_each_window_from_zero(make_hparams: Make, backbone: str) -> None:
    model, x = Segmenter(make_hparams(backbone=backbone, bidirectional=True)).eval(), session(50)
    padded = np.pad(x, ((4, 14), (0, 0)))  # 3 windows of 20, 4 neighbours on each side
    windows = np.stack([padded[first : first + 28] for first in (0, 20, 40)])
    with torch.no_grad():
        logits = model(torch.from_numpy(windows))["labels"][:, 4:24].flatten(0, 1)[:50]
    np.testing.assert_allclose(predict_inputs(model, x)["scores"], logits, atol=1e-6)


def test_an_interrupt_while_the_mode_is_set_leaves_the_model_in_its_own(
    make_hparams: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Segmenter(make_hparams())

    def interrupted(mode: bool = True) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(model.model["classifier"], "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_inputs(model, session(10))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_predictions_repeat(make_hparams: Make, backbone: str) -> None:
    model = Segmenter(make_hparams(backbone=backbone, dropout=0.5, variational=True)).train()
    once, again = (predict_inputs(model, session(60))["labels"] for _ in range(2))
    assert np.array_equal(once, again)


def test_draws_in_training_mode_differ(make_hparams: Make) -> None:
    model = Segmenter(make_hparams(dropout=0.5)).eval()
    once, again = (predict_inputs(model, session(60), mode="train")["labels"] for _ in range(2))
    assert not np.allclose(once, again)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_in_its_mode_and_can_be_trained(
    make_hparams: Make, training: bool
) -> None:
    model = Segmenter(make_hparams()).train(training)
    predict_inputs(model, session(60))
    assert model.training == training
    model(torch.randn(1, 40, 3))["labels"].sum().backward()


def test_multibinary_probabilities_are_sigmoids(make_hparams: Make) -> None:
    model = Segmenter(make_hparams(classifier_type="multibinary"))
    answer = predict_inputs(model, session(30))
    np.testing.assert_allclose(answer["labels"], 1 / (1 + np.exp(-answer["scores"])), rtol=1e-5)


def test_the_weak_head_answers_where_there_is_no_other(make_hparams: Make) -> None:
    model = Segmenter(make_hparams(lambda_strong=0, lambda_weak=1)).eval()
    with torch.no_grad():
        weak = model(torch.from_numpy(session(90))[None])["labels_weak"][0, 30:60]
    np.testing.assert_allclose(predict_inputs(model, session(90))["scores"][30:60], weak, atol=1e-5)


def test_a_model_without_classifier_says_so(make_hparams: Make) -> None:
    with pytest.raises(ConfigError, match="no classifier"):
        predict_inputs(Segmenter(make_hparams(lambda_strong=0, lambda_pred=1)), session(30))


@pytest.mark.parametrize("shape", [(0, 3), (30, 2), (30,)])
def test_inputs_of_another_shape_are_refused(make_hparams: Make, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"\(frames >= 1, 3\), got"):
        predict_inputs(Segmenter(make_hparams()), np.zeros(shape, dtype=np.float32))


def test_an_unknown_mode_is_named(make_hparams: Make) -> None:
    with pytest.raises(ValueError, match="not 'test'"):
        predict_inputs(Segmenter(make_hparams()), session(30), mode="test")


# ------------------------------------------------------------------------------ files of states


@pytest.mark.parametrize("n_frames", [1, 59, 60, 137])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_files_hold_what_is_predicted_though_written_part_by_part(
    make_hparams: Make, tmp_path, monkeypatch, backbone: str, n_frames: int
) -> None:
    monkeypatch.setattr("daart_fast.models.predict.CHUNK_FRAMES", 50)
    monkeypatch.setattr("daart_fast.models.predict.BATCH_FRAMES", 40)
    values = 7.0 + 3.0 * session(n_frames)
    recording = Session("s", values, ["a", "b", "c"], **statistics(values))
    generator = SimpleNamespace(ids=["s"], datasets=[SimpleNamespace(session=recording)])
    model = Segmenter(make_hparams(backbone=backbone))
    (path,) = export_states(model, generator, tmp_path / "new")
    states = np.load(path)
    assert path == tmp_path / "new" / "s_states.npy" and states.dtype == np.float32
    expected = predict_inputs(model, recording.normalised_inputs(), chunk_frames=10**6)["labels"]
    np.testing.assert_allclose(states, expected, atol=1e-5)


def test_a_prediction_that_fails_leaves_no_file(make_hparams: Make, tmp_path) -> None:
    values = session(60, n_channels=2)  # the model wants three
    recording = Session("s", values, ["a", "b"], **statistics(values))
    generator = SimpleNamespace(ids=["s"], datasets=[SimpleNamespace(session=recording)])
    with pytest.raises(ValueError):
        export_states(Segmenter(make_hparams()), generator, tmp_path)
    assert list(tmp_path.iterdir()) == []
