"""The config files of a data folder: what `daart-fast train FOLDER` writes, and what it keeps.

Settings given on the command line go into the files as they are written, each into its own. Once a
file is there it is the user's: an option that says something else holds for one run, which is
printed. Only a frame rate that the files lack is added, as it is a fact of the recordings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from daart_fast.config import (
    KEYS,
    KINEMATIC,
    Setting,
    load_config,
    settings_in,
    split_ids,
    with_defaults,
)
from daart_fast.errors import ConfigError, DataError, some
from daart_fast.files import replacing
from daart_fast.names import session_name
from daart_fast.project.hold_out import FEWEST, choose_held_out, classes_by_session
from daart_fast.project.sessions import labelled_sessions, left_out
from daart_fast.readers.label_record import LABEL_RECORD, read_label_record

__all__ = ["FILES", "OF_ONE_RUN", "every_session", "prepare", "write_configs"]

FILES = ("data", "model", "train")

#: Keys that say what this call should do, not what the model should be: no file keeps them.
OF_ONE_RUN = ("cv_folds", "leave_one_session_out", "resume")

#: What the config files begin with: settings, under the comments that explain them.
SETTINGS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "data": [
        ("paths are taken from this file's folder", {"data_dir": ".", "results_dir": "results"}),
        ("tracked points less sure than this count as missing", {"likelihood_threshold": 0}),
    ],
    "model": [
        ("the network", {"backbone": "dtcn", "n_hid_layers": 2, "n_hid_units": 32, "n_lags": 4}),
    ],
    "train": [
        ("how fast it learns", {"learning_rate": 0.001, "sequence_length": 500, "batch_size": 8}),
        ("and how long", {"min_epochs": 10, "max_epochs": 100, "early_stop_history": 10}),
    ],
}

#: What a new model learns of tracked points, and how its predictions are smoothed.
FEATURES = {
    "kinematic_groups": "distances;speeds;likelihoods",
    "kinematic_windows": "1",
}
SMOOTHING = {"smoothing": "hmm", "smoothing_strength": 0.2}
ABOUT_FEATURES = """\
features of the points in markers/ (distances, speeds; windows in seconds), which carry over to new
videos better than raw coordinates (input_type: markers)"""
ABOUT_SPACE = """\
the folder of inputs in data_dir: raw points, as they are in 3D, and distances and speeds
(input_type: features-kinematic) do not tell how high an animal stands"""
ABOUT_SMOOTHING = """\
how predicted classes are smoothed: by how often each follows each in the labels. Probabilities stay
as they are. null: not at all"""
HELD_OUT = """\
whole videos held out: no training sees them, and the score is of them. They are a fifth of those
with hand labels, evenly spaced by name (docs/guide.md, "Scores"). Name others as you like; with
--no_hold_out a run trains on all of expt_ids"""


def prepare(folder: Path, paths: Mapping[str, Path], asked: dict[str, Any], hold_out: bool) -> None:
    """Write the config files that are missing; print what a run does beside what they say.

    Parameters
    ----------
    folder
        with markers/ and labels-hand/
    paths
        of the config files: data, model, train
    asked
        settings of the command line, checked, by key
    hold_out
        whether to hold whole sessions out, where data.yaml is written

    Raises
    ------
    ConfigError
        a setting cannot be meant, or the frame rate is not the one that labels were made at
    DataError
        there is nothing to train on
    """
    if "data_dir" in asked and Path(asked["data_dir"]).resolve() != folder.resolve():
        raise ConfigError(
            f"--data_dir {asked['data_dir']}: expected one data folder, found {folder} before it"
        )
    there = [path for path in paths.values() if path.exists()]
    rate = _frame_rate(folder, asked, settings_in(*there))
    write_configs(folder, paths, asked, rate, hold_out)
    given = settings_in(*paths.values())
    if paths["data"] in there:
        if "fps" not in given:
            _add_frame_rate(paths["data"], asked.get("fps"), rate)
        _say_who_is_not_named(folder, given)
    _say_what_holds_for_this_run(paths, there, asked)


# --------------------------------------------------------------------------------------------
# writing them
# --------------------------------------------------------------------------------------------
def write_configs(
    folder: Path,
    paths: Mapping[str, Path] | None = None,
    asked: Mapping[str, Any] | None = None,
    rate: float | None = None,
    hold_out: bool = True,
) -> None:
    """Write the config files of a data folder where they are missing; see `prepare`.

    ``rate`` is the frame rate at which the labels were made, if that is known.
    """
    asked = asked or {}
    for name, path in (paths or {name: folder / f"{name}.yaml" for name in FILES}).items():
        if path.exists():
            continue
        parts = [
            (comment, {key: asked.get(key, value) for key, value in settings.items()})
            for comment, settings in SETTINGS[name]
        ]
        if name == "data":
            parts[0][1]["data_dir"] = "." if path.parent == folder else str(folder.absolute())
            parts.insert(1, _about_inputs(folder, asked, asked.get("fps") or rate))
            asked = {**asked, "input_type": parts[1][1]["input_type"]}
            parts += _about_the_recordings(folder, asked, rate, hold_out)
            if with_defaults(asked)["classifier_type"] != "multibinary":
                smoothing = {key: asked.get(key, value) for key, value in SMOOTHING.items()}
                parts.append((ABOUT_SMOOTHING, smoothing))
        placed = {key for _, settings in parts for key in settings} | {*OF_ONE_RUN, "data_dir"}
        rest = {key: v for key, v in asked.items() if KEYS[key].file == name and key not in placed}
        if rest:
            parts.append(("given on the command line when this file was written", rest))
        _write(path, parts)
        print(f"wrote {path}")


def _write(path: Path, parts: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    head = "`daart-fast keys` lists every key that may stand here, with its meaning and default."
    text = "".join(_as_yaml(comment, settings) for comment, settings in [(head, {}), *parts])
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _as_yaml(comment: str, settings: Mapping[str, Any]) -> str:
    """Spell settings as YAML under their comment."""
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    values = {name: _spelled(value) for name, value in settings.items()}
    return lines + (yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if settings else "")


def _spelled(value: Any) -> Any:
    """Return a number that is whole without its point."""
    if isinstance(value, list):
        return [_spelled(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _about_inputs(
    folder: Path, asked: Mapping[str, Any], fps: float | None
) -> tuple[str, dict[str, Any]]:
    """Return what the model reads: of tracked points features, unless something else is asked for.

    docs/accuracy.md has the measurements behind this choice.
    """
    from daart_fast.data.sessions import input_files, input_type_in
    from daart_fast.readers.inputs import holds_markers

    input_type = asked["input_type"] if "input_type" in asked else input_type_in(folder)
    files = input_files(folder / "markers") if (folder / "markers").is_dir() else []
    points = input_type == "markers" and files and holds_markers(files[0])
    if "input_type" in asked or not points:
        return "the folder of inputs in data_dir", {"input_type": input_type}
    if not FEATURES.keys() & asked.keys() and _in_space(files[0]):
        return ABOUT_SPACE, {"input_type": "markers"}
    settings = {key: asked.get(key, value) for key, value in FEATURES.items()}
    if not fps:
        settings.pop("kinematic_windows")
        print(
            "the frame rate is not known, so features are of single frames; with --fps RATE their "
            "mean and spread over a second are learned from too, which makes better models"
        )
    return ABOUT_FEATURES, {"input_type": KINEMATIC, **settings}


def _in_space(path: Path) -> bool:
    """Return whether a file holds points in 3D; one that can't be read is training's to refuse."""
    from daart_fast.readers.inputs import read_markers

    try:
        return read_markers(path).zs is not None
    except DataError:
        return False


def _about_the_recordings(
    folder: Path, asked: Mapping[str, Any], rate: float | None, hold_out: bool
) -> list[tuple[str, dict[str, Any]]]:
    """Return the part of data.yaml on frame rate and sessions, and say what it comes to."""
    parts: list[tuple[str, dict[str, Any]]] = []
    if asked.get("fps") is not None or rate is not None:
        parts.append(_about_frames(asked.get("fps"), rate))
    if "expt_ids" in asked:
        parts.append(("the sessions to train on", {"expt_ids": asked["expt_ids"]}))
    else:
        found = _labelled(folder, asked)
        parts.append(("the sessions that have hand labels", {"expt_ids": found}))
    if "expt_ids_test" in asked:
        held_out = asked["expt_ids_test"]
        comment = "whole videos held out: no training sees them, and the score is of them"
    else:
        held_out = _held_out(folder, asked, parts[-1][1]["expt_ids"]) if hold_out else None
        comment = HELD_OUT
    if held_out:
        print(f"held out, to score the model on videos that it has not seen: {some(held_out, 20)}")
        parts.append((comment, {"expt_ids_test": held_out}))
    return parts


def _about_frames(asked: Any, rate: float | None) -> tuple[str, dict[str, Any]]:
    """Return a frame rate with the comment that says where it comes from."""

    if asked is not None:
        return "frames a second, given on the command line", {"fps": asked}
    return f"frames a second, as labels-hand/{LABEL_RECORD} says", {"fps": rate}


def _held_out(folder: Path, asked: Mapping[str, Any], sessions: Sequence[str]) -> list[str]:
    """Choose the sessions to hold out; say so where there should be some and cannot."""
    validate = {session_name(session) for session in split_ids(asked.get("expt_ids_val"))}
    sessions = [session for session in sessions if session_name(session) not in validate]
    if len(sessions) < FEWEST:  # labels need not be read to know that
        return []
    searched = ("classifier_type", "ignore_class", "input_type")  # lists are searched over
    settings = {
        key: value[0] if key in searched and isinstance(value, list) else value
        for key, value in asked.items()
    }
    found = classes_by_session({**settings, "data_dir": str(folder)}, sessions)
    held_out = choose_held_out(found)
    if not held_out and sum(map(bool, found.values())) >= FEWEST:
        print("no video is held out: training would lose a class that few videos show")
    return held_out


def _labelled(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return the sessions that have inputs and hand labels; print which have none."""
    labelled, without = labelled_sessions(folder, settings)
    rest = f"; without: {some(without)}" if without else ""
    print(f"{len(labelled)} of {len(labelled) + len(without)} sessions have hand labels{rest}")
    return labelled


# --------------------------------------------------------------------------------------------
# files that are there already
# --------------------------------------------------------------------------------------------
def _frame_rate(
    folder: Path, asked: Mapping[str, Any], given: Mapping[str, Setting]
) -> float | None:
    """Return the frame rate at which the labels were made; None where that is not known.

    Raises
    ------
    ConfigError
        the command line, or a file, says something else
    """

    record = read_label_record(folder / "labels-hand")
    setting = Setting(asked["fps"], "--fps") if "fps" in asked else given.get("fps")
    if record is None:
        return None
    try:
        rate = record.fps()
    except DataError:
        if setting is None:
            raise
        return None  # it is not the same in all files
    if rate is None or setting is None or not isinstance(setting.value, float):
        return rate
    if not math.isclose(setting.value, rate, rel_tol=1e-4):
        raise ConfigError(
            f"{setting.where}: 'fps' is {setting.value:g}, but the labels were made at {rate:g} "
            f"frames a second ({folder / 'labels-hand' / LABEL_RECORD}). If the videos have "
            f"{setting.value:g}, every label is in the wrong place: convert the labels again with "
            f"--fps {setting.value:g}. If they have {rate:g}, correct 'fps'"
        )
    return rate


def _add_frame_rate(path: Path, asked: Any, rate: float | None) -> None:
    """Add the frame rate to a data.yaml that has none."""
    if asked is None and rate is None:
        return
    comment, settings = _about_frames(asked, rate)
    text = path.read_text(encoding="utf-8")
    with replacing(path) as temporary:
        separator = "" if text.endswith("\n") or not text else "\n"
        temporary.write_text(text + separator + _as_yaml(comment, settings), encoding="utf-8")
    print(f"{path}: added fps: {_spelled(settings['fps'])} ({comment})")


def _say_who_is_not_named(folder: Path, given: Mapping[str, Setting]) -> None:
    """Name the labelled sessions in a folder that its data.yaml leaves out."""
    values = {name: setting.value for name, setting in given.items()}
    if missing := left_out(labelled_sessions(folder, values)[0], values):
        print(
            f"{given['expt_ids'].where}: 'expt_ids' leaves out sessions that have hand labels: "
            f"{some(missing, 20)}. To train on them, add them there, or give --all"
        )


def every_session(folder: Path, paths: Mapping[str, Path], asked: Mapping[str, Any]) -> list[str]:
    """Return the sessions that data.yaml names to train on, and all labelled ones that it does not.

    Parameters
    ----------
    folder
        the data folder
    paths
        of the config files
    asked
        settings of the command line
    """
    given = {name: setting.value for name, setting in settings_in(*paths.values()).items()}
    labelled, _ = labelled_sessions(folder, {**given, **asked})
    return [*split_ids(given.get("expt_ids")), *left_out(labelled, given)]


def _say_what_holds_for_this_run(
    paths: Mapping[str, Path], there: Sequence[Path], asked: Mapping[str, Any]
) -> None:
    """Print each option that says something else than a file that was there before."""
    given, config = settings_in(*paths.values()), load_config(*paths.values())
    changes = []
    for name, value in asked.items():
        file = paths[KEYS[name].file]
        if file not in there or name in OF_ONE_RUN or config[name] == value:
            continue
        usual = f"{name} is {_spelled(config[name])}"
        where = f"{given[name].where}: {usual}" if name in given else f"by default {usual}"
        shown = f"--{name} {_spelled(value)}"
        changes.append(f"{shown} ({where})")
    if changes:
        print(f"for this run only: {', '.join(changes)}")
