"""Scores, time budgets and pictures of what ``daart-fast predict`` has written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daart_fast.cli import predict
from daart_fast.cli.records import (
    FolderFiles,
    Predicted,
    checksum_of_model,
    outputs_in,
    predicted_in,
    unfinished_in,
)
from daart_fast.cli.sessions import model_folders, session_files
from daart_fast.config import KEYS
from daart_fast.errors import ConfigError, DataError, some
from daart_fast.readers.label_record import read_label_record

if TYPE_CHECKING:
    from daart_fast.data.sessions import Session
    from daart_fast.eval.new_sessions import NewSessions

__all__ = [
    "Predictions",
    "add_arguments",
    "evaluate_predictions",
    "is_predictions",
    "new_videos",
    "print_labels",
    "read_predictions",
]

#: what is written for a folder of predictions, without the ending; with pictures, these too
FILES = ("summary", "smoothing", "time_budget")
PICTURES = ("confusion", "bout_lengths", "reliability")


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions: the model that they are of, and the sessions with their labels."""

    folder: Path
    model_dir: Path
    #: the model's, with the frame rate that the sessions were predicted with
    hparams: dict[str, Any]
    sessions: NewSessions
    #: where the user says that the hand labels are
    labels_dir: Path | None
    #: sentences that nobody must miss
    cautions: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands about models, or about new videos."""
    parser.add_argument(
        "model_dir",
        type=Path,
        nargs="+",
        help="version_N folders, folders above, or predict's output",
    )
    parser.add_argument(
        "--data_dir", type=Path, metavar="DIR", help="new videos, or the data that moved"
    )
    files = {
        "model": "predictions: the model's folder, if it moved",
        "labels": "new videos: their hand labels",
    }
    for name, text in files.items():
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help=text)
    parser.add_argument(
        "--overwrite", action="store_true", help="new videos: replace files of another origin"
    )


def new_videos(options: argparse.Namespace) -> tuple[Predictions | None, int]:
    """Return the predictions of new videos that a command line asks for, and an exit code.

    They are in a folder that it names, or are made first where ``--data_dir`` holds sessions that
    no training had; some of these may fail. None where it is about a model's own sessions.
    """
    paths, data_dir = options.model_dir, options.data_dir
    if any(is_predictions(path) for path in paths):
        if len(paths) > 1 or data_dir is not None:
            raise ConfigError(
                f"expected one folder of predictions, or models with or without --data_dir; found "
                f"{', '.join(map(str, paths))}" + (f" and --data_dir {data_dir}" * bool(data_dir))
            )
        _refuse_changes(options, f"{paths[0]} holds predictions", ())
        return read_predictions(paths[0], options.model, options.labels), 0
    folders = model_folders(paths)
    found = [] if data_dir is None else [_sessions_to_predict(one, data_dir) for one in folders]
    if not any(found):
        for name in ("model", "labels"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name}: expected a folder of predictions or of new videos")
        return None, 0
    if len(folders) > 1:
        raise ConfigError(f"--data_dir {data_dir}: new videos need one model, found {len(folders)}")
    _refuse_changes(options, f"{data_dir} holds new videos", ("fps",))
    return _predict_first(options, folders[0], found[0] or {})


def is_predictions(folder: Path) -> bool:
    """Return whether a folder is one of predictions, and no model's.

    Raises
    ------
    DataError
        predict has begun to write there, and nothing is finished
    """
    if (folder / "hparams.yaml").is_file() or not outputs_in(folder):
        return False
    if not predicted_in(folder):
        raise DataError(
            f"{folder}: expected finished predictions, found only interrupted ones; "
            f"'daart-fast predict' predicts them again"
        )
    return True


def _refuse_changes(options: argparse.Namespace, reason: str, allowed: Collection[str]) -> None:
    """Refuse settings that decide what is predicted: they belong to the model or to predict."""
    for name in vars(options):
        if name in KEYS and name not in ("data_dir", "picture_format", *allowed):
            raise ConfigError(
                f"--{name}: {reason}, and they stay as they are; give --fps to 'daart-fast "
                f"predict', and smoothing to 'daart-fast evaluate MODEL', then predict again"
            )


def _sessions_to_predict(model_dir: Path, data_dir: Path) -> dict[str, Path] | None:
    """Return the inputs in a folder; None where it holds the model's own sessions and no others.

    Sessions beside them count if they have hand labels.
    """
    from daart_fast.api.model import HPARAMS, read_hparams
    from daart_fast.data.sessions import folder_of, input_files
    from daart_fast.eval.new_sessions import name_in_training, trained_sessions

    hparams = read_hparams(model_dir / HPARAMS)
    project = data_dir / folder_of(hparams["input_type"])
    folder = project if project.is_dir() else data_dir
    if not folder.is_dir() or not input_files(folder):
        return None  # what is wrong is said where the model's own data are read
    sessions = session_files([folder])
    new = [name for name in sessions if name_in_training(hparams, name) is None]
    complete = len(sessions) - len(new) == len(trained_sessions(hparams))
    own = project.is_dir() and complete
    if not own or any(_labels_of(sessions[name], name, hparams, None) for name in new):
        return sessions
    if new:
        print(
            f"{data_dir} holds {len(new)} sessions more, without hand labels, that the training "
            f"had not ({some(new)}): 'daart-fast predict' takes them"
        )
    return None


def _predict_first(
    options: argparse.Namespace, model_dir: Path, sessions: dict[str, Path]
) -> tuple[Predictions | None, int]:
    """Predict new videos into a folder, as far as they are not done there; read them back."""

    folder = options.output_dir or options.data_dir / "predictions"
    given = {"overwrite": options.overwrite, "fps": getattr(options, "fps", None)}
    predicting = argparse.Namespace(
        model_dir=model_dir, output_dir=folder, jobs=1, share=False, **given
    )
    code = predict.predict_sessions(predicting, sessions)
    if not any(one.session in sessions for one in predicted_in(folder)):
        raise DataError(f"{options.data_dir}: no session could be predicted")
    return read_predictions(folder, model_dir, options.labels, sessions), code


def read_predictions(
    folder: Path,
    model_dir: Path | None = None,
    labels_dir: Path | None = None,
    only: Collection[str] | None = None,
) -> Predictions:
    """Read a folder of predictions.

    Parameters
    ----------
    folder
        what predict wrote to
    model_dir
        the model's folder, if it is not where the records say
    labels_dir
        the folder with the hand labels; None: the one that an earlier call was given, else
        ``labels-hand`` beside the inputs, where there is one
    only
        the sessions that are meant; None: all

    Raises
    ------
    DataError
        the model is gone, or is another one now; probabilities were edited; the sessions were
        predicted with several frame rates; labels do not fit
    """
    from daart_fast.api.model import HPARAMS, read_hparams
    from daart_fast.data.scored import label_cautions, scored_frames
    from daart_fast.eval.new_sessions import NewSession, NewSessions, frames_by_split

    every = [one for one in predicted_in(folder) if only is None or one.session in only]
    where = _model_of(folder, every, model_dir)
    _check_states(folder, every)
    hparams = {**read_hparams(where / HPARAMS), "fps": _frame_rate(folder, every)}
    names = hparams.get("label_names") or _names_of(every)
    roles, cautions = _roles(hparams, where, every)
    labels_dir = labels_dir or _labels_before(folder)
    datasets = []
    for one in every:
        session, lacking = _session_of(one, hparams, names, labels_dir)
        cautions += lacking
        splits = frames_by_split(hparams, roles.get(one.session, one.session), len(session))
        datasets.append(NewSession(session, splits))
    if labels_dir is not None and all(one.session.labels_strong is None for one in datasets):
        raise DataError(
            f"{labels_dir}: expected hand labels of {some([one.id for one in datasets])}, called "
            f"{datasets[0].id}.csv, ...; found none"
        )
    scored = scored_frames(hparams, names, [dataset.session for dataset in datasets])
    cautions = [*label_cautions(scored), *cautions]
    return Predictions(
        folder,
        where,
        hparams,
        NewSessions(folder, datasets, list(names)),
        labels_dir,
        [*cautions, *_what_changed(every), *_what_is_missing(folder, only)],
    )


def evaluate_predictions(
    predictions: Predictions,
    output: Path | None = None,
    pictures: bool = True,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write summary.json, time_budget.csv and pictures of predictions; return the summary.

    Parameters
    ----------
    predictions
        see `read_predictions`
    output
        where to write; None: into their folder
    pictures
        whether to draw
    overwrite
        whether to replace files of the same names that are not as daart-fast has written them

    Raises
    ------
    DataError
        there are such files
    """
    from daart_fast.eval import smoother_of, summarise
    from daart_fast.eval.album import draw_all

    folder, sessions = output or predictions.folder, predictions.sessions
    hparams, files = predictions.hparams, FolderFiles(output or predictions.folder)
    if not overwrite:
        files.check_free(_names_there(folder, sessions.ids, pictures))
    extra = {
        "cautions": predictions.cautions,
        "model_dir": str(predictions.model_dir.absolute()),
        "labels_dir": predictions.labels_dir and str(predictions.labels_dir.absolute()),
    }
    summary = summarise(
        hparams,
        sessions,
        folder,
        predictions.folder,
        smoother_of(predictions.model_dir, hparams),
        tables=False,
        extra=extra,
    )
    written = ["summary.json", "smoothing.json", "time_budget.csv"]
    if pictures:
        drawn = draw_all(hparams, sessions, folder, summary, predictions.folder)
        written += [path.name for path in drawn]
    files.record(written)
    return summary


def print_labels(predictions: Predictions) -> None:
    """Print which sessions have hand labels, as only these have scores."""
    labelled = [
        one.id for one in predictions.sessions.datasets if one.session.labels_strong is not None
    ]
    if not labelled:
        print("no score: these sessions have no hand labels (--labels DIR says where they are)")
    elif without := [name for name in predictions.sessions.ids if name not in labelled]:
        print(f"no score of {some(without)}, which have no hand labels")
    if labelled and predictions.labels_dir is not None:
        print(f"hand labels are those in {predictions.labels_dir}")


def _names_there(folder: Path, sessions: Sequence[str], pictures: bool) -> list[str]:
    """List the files in a folder that an evaluation may write over."""
    stems = set(FILES)
    if pictures:
        stems |= {*PICTURES, *(f"{session}_ethogram" for session in sessions)}
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.stem in stems)


# ------------------------------------------------------------------------------ the model


def _model_of(folder: Path, every: Sequence[Predicted], model_dir: Path | None) -> Path:
    """Return the folder of the model that has predicted all sessions, as it is now."""
    found = {one.facts.model_dir for one in every}
    where = model_dir or Path(next(iter(found)))
    if not (where / "hparams.yaml").is_file():
        raise DataError(
            f"{where}: expected the model that has written {folder}, found no model there; if it "
            f"was moved, --model DIR says where it is"
        )
    state = checksum_of_model(where)
    if stale := [one.session for one in every if one.origin.model != state]:
        raise DataError(
            f"{folder}: expected predictions of the model in {where} as it is now (weights, "
            f"settings, smoothing); those of {some(stale)} are of another model or an earlier "
            f"state. 'daart-fast predict {where} INPUTS --output_dir {folder}' predicts these "
            f"sessions again; --model DIR names another model"
        )
    return where


def _check_states(folder: Path, every: Sequence[Predicted]) -> None:
    """Refuse probabilities that predict has not written as they are."""
    if edited := [one.outputs.states.name for one in every if one.outputs.states in one.edited()]:
        raise DataError(
            f"{folder}: expected {some(edited)} as predict has written it, found another file or "
            f"none; 'daart-fast predict' with --overwrite writes it again"
        )


def _frame_rate(folder: Path, every: Sequence[Predicted]) -> float | None:
    """Return the one frame rate of all sessions."""
    by_rate = {one.facts.fps: one.session for one in every}
    if len(by_rate) > 1:
        found = ", ".join(f"{rate} ({session})" for rate, session in by_rate.items())
        raise DataError(
            f"{folder}: expected sessions of one frame rate, found {found}; predict those of "
            f"another rate into a folder of their own"
        )
    return next(iter(by_rate))


def _names_of(every: Sequence[Predicted]) -> list[str]:
    return list(every[0].facts.contents["classes"])


def _what_changed(every: Sequence[Predicted]) -> Iterator[str]:
    """Say which inputs have changed, and which tables were edited, since they were predicted."""
    if changed := [one.session for one in every if one.inputs_changed()]:
        yield (
            f"the inputs of {some(changed)} have changed since they were predicted; "
            f"'daart-fast predict' predicts them again"
        )
    if edited := [path.name for one in every for path in one.edited()]:
        yield (
            f"{some(edited)}: edited or removed since predict wrote it; scores, time budgets and "
            f"pictures are of what the model predicted"
        )


def _what_is_missing(folder: Path, only: Collection[str] | None) -> Iterator[str]:
    """Say which sessions are left out, as their prediction is under way or was interrupted."""
    missing = [name for name in unfinished_in(folder) if only is None or name in only]
    if missing:
        yield (
            f"without {some(missing)}: the prediction is under way, or was interrupted; "
            f"'daart-fast predict' predicts them"
        )


# ------------------------------------------------------------------------------ the sessions


def _roles(
    hparams: Mapping[str, Any], model_dir: Path, every: Sequence[Predicted]
) -> tuple[dict[str, str], list[str]]:
    """Find the sessions that the training had, by name and by what their inputs hold.

    Returns
    -------
    roles : dict
        the name of the training's session by that of the session here
    cautions : list of str
        what is to be said of them
    """
    from daart_fast.eval.new_sessions import name_in_training

    names = {one.session: name_in_training(hparams, one.session) for one in every}
    roles, cautions = {}, []
    known = [session for session, name in names.items() if name is not None]
    if known:
        cautions.append(
            f"the training had {some(known)}: such sessions keep their role (train, val or test) "
            f"and do not count as new videos"
        )
    trained = _inputs_of_training(hparams, model_dir)
    for one in every:
        checksum = one.facts.inputs_checksum
        twin = next((name for name, other in trained.items() if other == checksum), None)
        if (name := names[one.session]) is not None:
            if trained.get(name, checksum) != checksum:
                cautions.append(
                    f"{one.session}: the training had a session of this name with other inputs; if "
                    f"this is another video, rename its file and predict it again"
                )
        elif twin is not None:
            roles[one.session] = twin
            cautions.append(
                f"{one.session}: its inputs are, byte for byte, those of {twin}, which the "
                f"training had; it is not counted as a new video"
            )
    return roles, cautions


def _inputs_of_training(hparams: Mapping[str, Any], model_dir: Path) -> dict[str, str]:
    """Return a checksum of the inputs of each session that the training had, as far as known."""
    from daart_fast.eval.new_sessions import trained_sessions
    from daart_fast.eval.stored import input_checksums

    recorded = _summary_in(model_dir).get("inputs")
    return recorded or input_checksums(hparams, trained_sessions(hparams))


def _summary_in(folder: Path) -> dict[str, Any]:
    """Return the summary in a folder; an empty one where there is none, or a user's file."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def _session_of(
    one: Predicted, hparams: Mapping[str, Any], names: Sequence[str], labels_dir: Path | None
) -> tuple[Session, list[str]]:
    """Return a session as long as its predictions, with its hand labels, and cautions about them.

    Its inputs are not read: they may be gone.
    """
    from dataclasses import replace

    import numpy as np

    from daart_fast.data.sessions import read_session
    from daart_fast.readers.inputs import Inputs

    n_frames = len(np.load(one.outputs.states, mmap_mode="r"))

    def no_channels(path: str | Path, threshold: float) -> Inputs:
        return Inputs(np.empty((n_frames, 0), np.float32), [])

    inputs = Path(one.origin.inputs)
    file = _labels_of(inputs, one.session, hparams, labels_dir)
    paths = {
        "markers": inputs if inputs.is_file() else one.outputs.states,
        "labels_strong": file,
    }
    kind = hparams["classifier_type"]
    session = read_session(one.session, paths, classifier_type=kind, read=no_channels)
    session = replace(session, first_frame=one.facts.contents.get("first_frame", 0))
    if file is None:
        return session, []
    _check_frame_rate(file, hparams["fps"])
    return _with_classes(session, names, file)


def _labels_before(folder: Path) -> Path | None:
    """Return the folder of hand labels that an earlier call was given for these predictions."""
    given = _summary_in(folder).get("labels_dir")
    return Path(given) if given and Path(given).is_dir() else None


def _labels_of(
    inputs: Path, session: str, hparams: Mapping[str, Any], labels_dir: Path | None
) -> Path | None:
    """Return a session's file of hand labels; None where it has none.

    It lies in `labels_dir`, else in ``labels-hand`` beside the inputs, or beside their folder in a
    project.
    """
    from daart_fast.data.sessions import LABEL_FOLDERS, LABELS, find_file, folder_of

    folders = [inputs.parent]
    if inputs.parent.name == folder_of(hparams["input_type"]):
        folders.insert(0, inputs.parent.parent)
    beside = (folder / LABEL_FOLDERS["labels_strong"] for folder in folders)
    folder = labels_dir or next((folder for folder in beside if folder.is_dir()), None)
    return None if folder is None else find_file(folder, session, (".csv", ".csv.gz"), LABELS)


def _check_frame_rate(labels: Path, fps: float | None) -> None:
    """Refuse labels that were converted with another frame rate than that of the predictions."""

    record = read_label_record(labels.parent)
    file = None if record is None else record.files.get(labels.name)
    if fps and file is not None and file.fps and file.fps != fps:
        raise DataError(
            f"{labels}: expected labels of {fps:g} frames a second, as the predictions are, found "
            f"labels that were converted with {file.fps:g}; convert them again with --fps {fps:g}, "
            f"or predict with --fps {file.fps:g}"
        )


def _with_classes(session: Session, names: Sequence[str], file: Path) -> tuple[Session, list[str]]:
    """Bring a session's hand labels into the order of the model's classes.

    A behaviour that never occurs in new videos may have no column there, which is a caution.
    """
    from dataclasses import replace

    import numpy as np

    labels, found = session.labels_strong, session.label_names
    assert labels is not None
    if strange := [name for name in found if name not in names]:
        raise DataError(
            f"{file}: expected the classes that the model was trained with ({some(names)}), found "
            f"{some(strange)} too"
        )
    columns = [names.index(name) for name in found]
    if labels.ndim == 2:
        ordered = np.full((len(labels), len(names)), np.nan, labels.dtype)
        ordered[:, columns] = labels
    else:
        ordered = np.where(labels >= 0, np.array(columns)[np.maximum(labels, 0)], labels)
    missing = [name for name in names if name not in found]
    caution = (
        f"{session.id}: the hand labels have no class {some(missing)}; wherever it is predicted in "
        f"scored frames, that counts as an error"
    )
    ours = replace(session, labels_strong=ordered, label_names=list(names))
    return ours, [caution] if missing else []
