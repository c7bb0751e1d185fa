"""From hparams to the parts of a training: the data, the callbacks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.config import split_ids, with_defaults
from daart_fast.data.cache import cache_folder
from daart_fast.data.dataset import SIGNALS
from daart_fast.data.generator import DataGenerator
from daart_fast.data.ignored import IGNORED, ignored_class
from daart_fast.data.scored import label_cautions, old_background, one_class, scored_frames
from daart_fast.data.sequences import compute_sequence_pad, trial_splits_of
from daart_fast.data.sessions import Tell, labels_elsewhere, signal_paths
from daart_fast.data.transforms import Transform, ZScore
from daart_fast.errors import ConfigError, DataError
from daart_fast.features import reader_of

__all__ = [
    "build_data_generator",
    "data_files",
]


def build_data_generator(hparams: dict[str, Any]) -> DataGenerator:
    """Read the sessions that hparams name, and share their sequences out.

    Parameters
    ----------
    hparams
        The keys of the config files; those missing have their defaults. Gains ``sequence_pad``,
        ``input_size``, ``input_names``, ``output_size``, ``label_names``, ``class_weights``,
        with tasks ``task_size`` and ``task_names``, and with ``normalization: train``
        ``input_mean`` and ``input_std``.

    Returns
    -------
    DataGenerator
        Of the sessions in ``expt_ids``, ``expt_ids_val`` and ``expt_ids_test``, in this order.

    Raises
    ------
    DataError
        Files are missing, cannot be read or do not fit each other; there is nothing to learn
        from, or nothing to validate on.
    ConfigError
        There is no such class as ``ignore_class``.
    """
    settings = with_defaults(hparams)
    hparams["sequence_pad"] = compute_sequence_pad(settings)
    held_out = [split_ids(settings["expt_ids_val"]), split_ids(settings["expt_ids_test"])]
    training = not settings.get(
        "training_completed"
    )  # a finished model's settings are what they are
    paths = _all_paths(settings)
    ids = list(paths)
    _check_targets(settings, paths)
    if training:
        _check_held_out(settings, paths)
    transforms: list[Transform | None] = [ZScore(), None, None, None]
    generator = DataGenerator(
        ids,
        [SIGNALS] * len(ids),
        [transforms] * len(ids),
        [[paths[session][signal] for signal in SIGNALS] for session in ids],
        device=settings["device"],
        rng_seed=settings["rng_seed_train"],
        trial_splits=trial_splits_of(settings),
        train_frac=settings["train_frac"],
        sequence_length=settings["sequence_length"],
        batch_size=settings["batch_size"],
        sequence_pad=hparams["sequence_pad"],
        causal=settings["causal"],
        classifier_type=settings["classifier_type"],
        likelihood_threshold=settings["likelihood_threshold"],
        ids_val=held_out[0],
        ids_test=held_out[1],
        normalization=settings["normalization"],
        read=reader_of(settings),
        cache=cache_folder(settings["cache_dir"]),
    )
    _check_splits(settings, generator)
    if training:
        _check_ignored(settings, generator.label_names)
        _check_scored(settings, generator)
        _check_weak(settings, generator)
    hparams |= _derived(settings, generator)
    return generator


def data_files(hparams: Mapping[str, Any]) -> list[Path]:
    """List the files that `build_data_generator` would read, without a look into them.

    Raises
    ------
    DataError
        A session has no inputs.
    """
    sessions = _all_paths(with_defaults(hparams), logging.debug).values()
    return [path for paths in sessions for path in paths.values() if path is not None]


def _all_paths(
    settings: Mapping[str, Any], tell: Tell = logging.warning
) -> dict[str, dict[str, Path | None]]:
    """Find the files of every session, those to train on first."""
    keys = ("expt_ids", "expt_ids_val", "expt_ids_test")
    ids = dict.fromkeys(session for key in keys for session in split_ids(settings[key]))
    found = {session: _paths(settings, session, tell) for session in ids}
    sessions: dict[Path | None, str] = {}
    for session, paths in found.items():
        first = sessions.setdefault(paths["markers"], session)
        if first != session:
            raise ConfigError(
                f"expt_ids: {first!r} and {session!r} are one session, {paths['markers']}; spell "
                f"its name in one way"
            )
    return found


def _paths(settings: Mapping[str, Any], session: str, tell: Tell) -> dict[str, Path | None]:
    """Find a session's files; None for those that this configuration does not use."""
    paths = signal_paths(settings, session, tell)
    kept = split_ids(settings["expt_ids_to_keep"])
    if kept and session not in kept:
        paths["labels_strong"] = None
    if not settings["lambda_weak"] or settings["semi_supervised_algo"]:
        paths["labels_weak"] = None  # pseudo-labels would stand in their place
    if not settings["lambda_task"]:
        paths["tasks"] = None
    return paths


def _check_targets(settings: Mapping[str, Any], paths: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a loss without any file to learn from; tell of sessions that teach nothing."""
    wanted = {"labels_strong": ("lambda_strong", "labels-hand")}
    if not settings["semi_supervised_algo"]:
        wanted["labels_weak"] = ("lambda_weak", "labels-heuristic")
    wanted["tasks"] = ("lambda_task", "tasks")
    data_dir = Path(settings["data_dir"])
    for signal, (key, folder) in wanted.items():
        if settings[key] and not any(of_session[signal] for of_session in paths.values()):
            there = sorted(item.name for item in (data_dir / folder).glob("*"))
            hint = labels_elsewhere(data_dir) if signal == "labels_strong" else ""
            found = f"the folder holds {', '.join(there[:8])}" if there else "nothing is there"
            raise DataError(
                f"{data_dir / folder}: {key} is {settings[key]:g}, but no session has such a file; "
                f"expected {next(iter(paths))}.csv, ...; {found}{hint}"
            )
    if settings["semi_supervised_algo"] or settings["lambda_pred"] or settings["lambda_recon"]:
        return
    for session in split_ids(settings["expt_ids"]):
        if not any(paths[session][signal] for signal in wanted):
            logging.warning(f"session {session} has no labels, so nothing is learned from it")


def _check_held_out(settings: Mapping[str, Any], paths: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse sessions held out of which none can validate; tell of each one that can't."""
    held_out = split_ids(settings["expt_ids_val"])
    targets = ("labels_strong", "labels_weak", "tasks")
    blank = [s for s in held_out if not any(paths[s][signal] for signal in targets)]
    kept = "; ".join(split_ids(settings["expt_ids_to_keep"]))
    hint = f" (expt_ids_to_keep lists {kept})" if kept else ""
    if blank and blank == held_out and not (settings["lambda_pred"] or settings["lambda_recon"]):
        raise DataError(
            f"nothing would validate: of expt_ids_val ({', '.join(blank)}) no session has labels "
            f"that are used{hint}"
        )
    for session in blank:
        logging.warning(f"session {session} of expt_ids_val has no labels that are used{hint}")


def _check_splits(settings: Mapping[str, Any], generator: DataGenerator) -> None:
    """Refuse to train where no sequence trains or none validates."""
    for split, held in (("train", ""), ("val", ", or list whole sessions in expt_ids_val")):
        if generator.n_tot_batches[split]:
            continue
        train, val, test, gap = map(int, str(settings["trial_splits"]).split(";"))
        lengths = ", ".join(f"{d.id} has {d.n_sequences}" for d in generator.datasets[:8])
        raise DataError(
            f"no sequence of any session is for {'training' if split == 'train' else 'validation'}"
            f": one block of trial_splits {settings['trial_splits']} is "
            f"{train + val + test + 3 * gap} sequences of {settings['sequence_length']} frames "
            f"({lengths}). Choose a smaller sequence_length or other trial_splits{held}"
        )


def _check_ignored(settings: Mapping[str, Any], names: list[str]) -> None:
    """Refuse an ``ignore_class`` beyond the classes; tell of one that is not ignored."""
    ignored = settings["ignore_class"]
    if settings["classifier_type"] == "binary" or not names or ignored is None or ignored < 0:
        return
    if ignored >= len(names):
        classes = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
        raise ConfigError(
            f"'ignore_class' is {ignored}: expected a class, of {classes}, "
            f"or {IGNORED} where every labelled frame is scored"
        )
    if ignored_class({**settings, "label_names": names}) == IGNORED:
        tell = logging.warning if ignored else logging.info  # 0 is the default
        tell(
            f"ignore_class is {ignored}, but '{names[ignored]}' is learned like the others: "
            "of multibinary labels only a column called 'background' is ignored"
        )


def _check_scored(settings: Mapping[str, Any], generator: DataGenerator) -> None:
    """Refuse labels of a single scored class, and warn where few frames are scored.

    Any model has a perfect score on a single class.
    """
    folder = Path(settings["data_dir"])
    sessions = [dataset.session for dataset in generator.datasets]
    scored = scored_frames(settings, generator.label_names, sessions)
    if scored is None or not (settings["lambda_strong"] or settings["lambda_weak"]):
        return
    counts = np.maximum(generator.count_class_examples(), _weak_examples(generator))
    if wrong := one_class(replace(scored, counts=counts.tolist())):
        raise DataError(f"{folder}: the labels of the training frames cannot be learned: {wrong}")
    for sentence in label_cautions(scored) or filter(None, [old_background(folder, scored)]):
        logging.warning(sentence)


def _check_weak(settings: Mapping[str, Any], generator: DataGenerator) -> None:
    """Warn where heuristic labels teach nothing, as every one is of a frame with a hand label.

    (daart's weak loss then takes the frames of class 0, which with ``ignore_class: -100`` are
    labelled as others are.)
    """
    sessions = [dataset.session for dataset in generator.datasets]
    weak = [one for one in sessions if one.labels_weak is not None]
    if not settings["lambda_weak"] or not weak or settings["classifier_type"] == "multibinary":
        return
    ignored = ignored_class({**settings, "label_names": generator.label_names})

    def counts(labels: np.ndarray | None) -> np.ndarray:
        return np.zeros(1, bool) if labels is None else (labels >= 0) & (labels != ignored)

    if not any((counts(one.labels_weak) & ~counts(one.labels_strong)).any() for one in weak):
        logging.warning(
            f"lambda_weak is {settings['lambda_weak']:g}, but every frame with a heuristic label "
            "has a hand label, which counts instead: the weak loss has nothing to score"
        )


def _derived(settings: Mapping[str, Any], generator: DataGenerator) -> dict[str, Any]:
    """Return what the data say about the model."""
    derived: dict[str, Any] = {
        "input_size": len(generator.input_names),
        "input_names": generator.input_names,
        "output_size": len(generator.label_names),
        "label_names": generator.label_names,
        "class_weights": _class_weights(settings, generator),
    }
    if generator.task_names:
        derived |= {"task_size": len(generator.task_names), "task_names": generator.task_names}
    if settings["normalization"] == "train":
        session = generator.datasets[0].session
        derived |= {"input_mean": session.mean.tolist(), "input_std": session.std.tolist()}
    return derived


def _class_weights(settings: Mapping[str, Any], generator: DataGenerator) -> list[float] | None:
    """Weigh each class by the largest class's count over its own; the ignored one and empty ones 0.

    Hand labels are counted, and heuristic ones for the classes that no hand label shows. Of
    several behaviours at once, one that never occurs weighs 1: its absence is to be learned. None,
    which weighs all alike, where that is asked for or no frame is labelled.
    """
    names = generator.label_names
    learned = np.arange(len(names)) != ignored_class({**settings, "label_names": names})
    by_hand = _weights_by_count(generator.count_class_examples(), learned)
    weights = np.where(by_hand > 0, by_hand, _weights_by_count(_weak_examples(generator), learned))
    if not settings["weight_classes"] or not weights.any():
        return None
    if settings["classifier_type"] == "multibinary":
        weights[learned & (weights == 0)] = 1
    return weights.tolist()


def _weights_by_count(counts: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """Return the largest count over each one, (n_classes,); 0 where that is 0 or not `learned`."""
    counts = np.where(learned, counts, 0).astype(np.float64)
    largest = counts.max(initial=0)
    return np.divide(largest, counts, out=np.zeros_like(counts), where=counts > 0)


def _weak_examples(generator: DataGenerator) -> np.ndarray:
    """Count the training frames to which heuristic labels give each class, (n_classes,)."""
    classes = np.arange(len(generator.label_names))
    counts = np.zeros(len(classes), dtype=np.int64)
    for dataset in generator.datasets:
        labels = dataset.session.labels_weak
        if labels is not None:
            labels = labels[dataset.frames_of("train")]
            counts += (labels == 1 if labels.ndim == 2 else labels[:, None] == classes).sum(0)
    return counts
