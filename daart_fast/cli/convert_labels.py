"""Turn hand labels of other programs into the one-hot csv files that daart_fast reads.

It reads exports of BORIS (tabular or aggregated events, csv or tsv), SimBA's targets, Caltech
Behavior Annotator's txt, DeepEthogram's csv, and tables of bouts (class, start, stop). Give all
files of a project to one command, so that all get the same classes.

With --markers, each file goes to the session of its name, and gets its length and name.

BORIS, DeepEthogram, SimBA and Caltech files are of videos that somebody watched: frames between
bouts become a class, 'other'. Frames that nobody watched are column 0, 'background', which is
neither learned nor scored. A table of bouts does not say which it is: give --other or --unscored.

Nothing is written unless all files can be converted. Label files that hold something else are only
replaced with --overwrite. What was decided is written to conversion.json, beside the labels.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daart_fast.cli.corrections import changes, keep_earlier, predicted_classes, refuse_predictions
from daart_fast.cli.options import count, folder_to_write, setting
from daart_fast.cli.sessions import session_files
from daart_fast.config import check_name
from daart_fast.errors import ConfigError, DataError, did_you_mean, some
from daart_fast.files import holds, refuse_overwriting, refuse_overwriting_inputs, replacing
from daart_fast.readers.label_record import LabelFile, read_label_record, write_label_record

if TYPE_CHECKING:
    import numpy as np

    from daart_fast.convert import Annotation
    from daart_fast.convert.onehot import Tracked

HELP = "turn labels of BORIS, SimBA, Caltech, DeepEthogram or bout tables into one-hot csv"
EXAMPLES = """
  daart-fast convert-labels boris/*.csv --markers data/markers --output_dir data/labels-hand
  daart-fast convert-labels boris/*.csv --markers data/markers --unscored --output_dir labels
  daart-fast convert-labels mouse1.annot.txt --n_frames 18000 --output_dir data/labels-hand
  daart-fast convert-labels bouts.csv --fps 30 --markers data/markers --other still \\
      --output_dir data/labels-hand
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from daart_fast.convert import FORMATS
    from daart_fast.convert.onehot import OTHER, OVERLAPS

    parser.add_argument("files", type=Path, nargs="+", help="the label files")
    parser.add_argument(
        "--output_dir", type=folder_to_write, required=True, help="the folder to write to"
    )
    parser.add_argument("--markers", type=Path, help="the folder of the sessions' inputs")
    parser.add_argument(
        "--fps",
        type=setting("fps"),
        help="frames a second, where files hold times and do not give it themselves",
    )
    parser.add_argument("--n_frames", type=count, help="frames of each session, without --markers")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="the program that wrote the files, if they are not recognised (bouts: class, start, "
        "stop)",
    )
    parser.add_argument(
        "--subject", help="use only the behaviours of this subject, channel (Bento) or tier (ELAN)"
    )
    parser.add_argument(
        "--all_subjects",
        action="store_true",
        help="take the behaviours of all subjects of a recording together",
    )
    parser.add_argument("--classes", nargs="+", help="use only these classes, in this order")
    between = parser.add_mutually_exclusive_group()
    between.add_argument(
        "--other",
        metavar="NAME",
        help=f"the class of frames between bouts, where somebody looked at them (by default "
        f"{OTHER!r}; tables of bouts need --other or --unscored)",
    )
    between.add_argument(
        "--unscored",
        action="store_true",
        help="nobody looked at the frames between bouts: they are neither learned nor scored",
    )
    parser.add_argument(
        "--overlaps", choices=OVERLAPS, default="error", help="two behaviours at once: which counts"
    )
    parser.add_argument(
        "--multibinary", action="store_true", help="several behaviours may occur at once"
    )
    _add_corrections(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace label files that hold something else"
    )


def _add_corrections(parser: argparse.ArgumentParser) -> None:
    """Add the options for predictions that come back."""
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="DIR",
        help="the files are predictions that you looked at and corrected, exported from this "
        "folder; says what changed, and keeps earlier label files in OUTPUT_DIR/earlier",
    )
    parser.add_argument(
        "--accept_unchanged",
        action="store_true",
        help="with --corrections: you looked at the sessions without any change too",
    )


def run(options: argparse.Namespace) -> None:
    from daart_fast.convert.onehot import warn_of_length

    _check_classes(options)
    annotations = _read(options)
    if options.corrections is None:
        refuse_predictions(annotations)
    files = session_files([options.markers]) if options.markers else {}
    matched = _matched(options, annotations, files)
    tracked = {
        session: _tracked(options, annotation, files.get(session))
        for session, annotation in matched.items()
    }
    for session, annotation in matched.items():
        warn_of_length(annotation, session, tracked[session])
    labels = _label(options, _classes(options, annotations), matched, tracked)
    if options.corrections is not None:
        matched = _corrected(options, labels, matched)
    read_label_record(options.output_dir)  # one that cannot be read is an error before any writing
    paths = {session: _path(options.output_dir, session) for session in matched}
    texts = {paths[session]: labels.text(session).encode() for session in matched}
    refuse_overwriting_inputs(texts, [*options.files, *files.values()])
    changed = [path for path, text in texts.items() if not holds(path, text)]
    if options.corrections is not None:
        for path in filter(os.path.lexists, changed):
            print(f"the labels before are kept in {keep_earlier(path)}")
    elif not options.overwrite:
        refuse_overwriting(
            [path for path in changed if os.path.lexists(path)], "one of the same labels"
        )
    for path in changed:
        with replacing(path) as temporary:
            temporary.write_bytes(texts[path])
    record = {
        paths[session].name: LabelFile(
            annotation.source,
            annotation.format,
            annotation.fps or options.fps,
            tracked[session].n_frames,
            labels.between,
        )
        for session, annotation in matched.items()
    }
    write_label_record(options.output_dir, record)
    for line in _summary(options, labels, matched, paths, files):
        print(line, flush=True)


def _read(options: argparse.Namespace) -> list[Annotation]:
    """Read all files; refuse a subject that none of them has."""
    from daart_fast.convert import read_annotations

    annotations = [
        annotation
        for file in options.files
        for annotation in read_annotations(
            file, options.fps, options.format, options.subject, options.classes or ()
        )
    ]
    subjects = {subject for annotation in annotations for subject in annotation.all_subjects}
    if options.subject is not None and options.subject not in subjects:
        raise DataError(
            f"--subject: no file has events of {options.subject!r}"
            f"{did_you_mean(options.subject, subjects)}; there are those of "
            f"{some(sorted(subject or 'nobody' for subject in subjects)) or 'nobody'}"
        )
    for annotation in annotations if options.subject is None else ():
        whose = sorted(annotation.all_subjects - {""})
        if len(whose) > 1 and not (options.all_subjects or annotation.channels):
            raise DataError(
                f"{annotation.source}: {annotation.names[0]} has events of {some(whose)}; give "
                f"--subject NAME for those of one, or --all_subjects for those of all together"
            )
    return annotations


def _corrected(
    options: argparse.Namespace, labels: _Labels, matched: Mapping[str, Annotation]
) -> dict[str, Annotation]:
    """Return the sessions that a person corrected; print what changed in each."""
    tables = {session: labels.tables[session] for session in matched}
    found = changes(options.corrections, tables, labels.names)
    for session, text in found.items():
        print(f"{session}: {text or 'just as predicted'}")
    unchanged = [session for session, text in found.items() if text is None]
    if options.accept_unchanged or not unchanged:
        return dict(matched)
    left = {session: one for session, one in matched.items() if session not in unchanged}
    text = f"{some(unchanged)}: just as predicted, so nothing says that somebody looked"
    if not left:
        raise DataError(f"{text}; --accept_unchanged says that you did")
    print(f"left out: {text} (--accept_unchanged)")
    return left


def _matched(
    options: argparse.Namespace, annotations: Sequence[Annotation], files: Mapping[str, Path]
) -> dict[str, Annotation]:
    """Return what was labelled in each session."""
    from daart_fast.convert import match_sessions

    if options.markers:
        return match_sessions(annotations, files)
    matched = {annotation.names[0]: annotation for annotation in annotations}
    if len(matched) < len(annotations):
        raise DataError("two of the files are about sessions of one name")
    _check_names(matched)
    return matched


def _tracked(options: argparse.Namespace, annotation: Annotation, inputs: Path | None) -> Tracked:
    """Return which frames a session has."""
    from daart_fast.convert.onehot import Tracked
    from daart_fast.readers.inputs import first_frame, read_inputs

    if inputs is not None:
        return Tracked(int(first_frame(inputs) or 0), len(read_inputs(inputs).values))
    n_frames = options.n_frames or annotation.n_frames
    if not n_frames:
        raise DataError(
            f"{annotation.source}: how many frames are there? Give --markers or --n_frames"
        )
    return Tracked(0, n_frames)


def _path(folder: Path, session: str) -> Path:
    """Return the file of a session's labels: the one that is there, or one called as it."""
    from daart_fast.data.sessions import LABELS, find_file

    there = find_file(folder, session, [".csv"], LABELS, logging.debug)
    return there or folder / f"{session}.csv"


@dataclass(frozen=True)
class _Labels:
    """The labels of all sessions, as tables with these columns."""

    names: list[str]
    tables: dict[str, np.ndarray]
    tracked: Mapping[str, Tracked]
    #: the class of frames between bouts, and how many there are
    between: str | None
    n_between: int

    def text(self, session: str) -> str:
        from daart_fast.convert import one_hot_text

        return one_hot_text(self.tables[session], self.names, self.tracked[session].first_frame)

    def counts(self, sessions: Iterable[str]) -> str:
        """Say how many frames sessions have, and how many of each class."""
        totals = [0] * len(self.names)
        for session in sessions:
            counts = (self.tables[session] == 1).sum(0).tolist()
            totals = [total + n for total, n in zip(totals, counts, strict=True)]
        n_frames = sum(len(self.tables[session]) for session in sessions)
        found = [f"{n} {c}" for n, c in zip(totals, self.names, strict=True) if n]
        return f"{n_frames} frames: {', '.join(found) or 'no behaviour'}"


def _label(
    options: argparse.Namespace,
    classes: list[str],
    matched: Mapping[str, Annotation],
    tracked: Mapping[str, Tracked],
) -> _Labels:
    """Make the tables, once it is decided what frames between bouts are."""
    from daart_fast.convert import one_hot
    from daart_fast.convert.onehot import BACKGROUND, frames_between_bouts

    before = {name: tracked[name].before(annotation) for name, annotation in matched.items()}

    def tables(classes: list[str], other: str | None) -> dict[str, np.ndarray]:
        """Make tables of the video from its first frame on."""
        how = (options.overlaps, other, options.multibinary)
        return {
            name: one_hot(annotation, classes, before[name] + tracked[name].n_frames, *how)
            for name, annotation in matched.items()
        }

    def cut(tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: table[before[name] :] for name, table in tables.items()}

    first = tables(classes, None)
    if options.multibinary:
        return _Labels(classes, cut(first), tracked, None, 0)
    without = {
        name: frames_between_bouts(annotation, first[name], before[name])
        for name, annotation in matched.items()
    }
    between = options.other
    if between is None and not options.unscored and any(without.values()):
        between = _default_class(
            classes, [annotation for name, annotation in matched.items() if without[name]]
        )
    if between is not None and between not in classes:
        classes = [between, *classes]
    found = cut(tables(classes, between))
    return _Labels([BACKGROUND, *classes], found, tracked, between, sum(without.values()))


def _default_class(classes: Sequence[str], annotations: Sequence[Annotation]) -> str:
    """Return the class of frames between bouts, where nobody said what they are."""
    from daart_fast.convert import FORMATS
    from daart_fast.convert.onehot import OTHER

    unclear = [
        annotation.source for annotation in annotations if not FORMATS[annotation.format].continuous
    ]
    if unclear:
        raise DataError(
            f"{some(list(dict.fromkeys(unclear)))}: a table of bouts does not say what the frames "
            f"between them are; give --other NAME (as --other {OTHER}) if somebody looked at them "
            f"and saw none of these behaviours, so that they are learned as a class, or --unscored "
            f"if nobody looked, so that they are neither learned nor scored"
        )
    same = [name for name in classes if name.casefold() == OTHER]
    if same:
        raise DataError(
            f"a class of the files is called {same[0]!r}, as frames between bouts would be; give "
            f"--other NAME to call those something else, --other {same[0]} to make both one class, "
            f"or --unscored if nobody looked at them"
        )
    return OTHER


def _summary(
    options: argparse.Namespace,
    labels: _Labels,
    matched: Mapping[str, Annotation],
    paths: Mapping[str, Path],
    files: Mapping[str, Path],
) -> Iterator[str]:
    """Say what was written for each session and in all, and what was decided."""
    for session, annotation in matched.items():
        whose = f" of {options.subject}" if options.subject is not None else ""
        empty = "" if annotation.bouts else f" (no bouts{whose} in {annotation.source})"
        yield f"{paths[session]}: {labels.counts([session])}{empty}"
    if len(matched) > 1:
        yield f"in all, {labels.counts(matched)}"
    n_frames = sum(len(table) for table in labels.tables.values())
    share = f"({labels.n_between:,} of {n_frames:,} frames, {labels.n_between / n_frames:.0%})"
    if labels.n_between and labels.between is not None:
        yield (
            f"frames between bouts are class {labels.between!r} {share}, as somebody looked at "
            f"them and saw none of the behaviours; give --unscored if nobody looked there"
        )
    elif labels.n_between:
        yield (
            f"frames between bouts are {labels.names[0]!r} {share}, as nobody looked at them: they "
            f"are neither learned nor scored; give --other NAME if somebody looked there"
        )
    unlabelled = [session for session in files if session not in matched]
    if unlabelled:
        yield f"sessions in {options.markers} without labels: {some(unlabelled)}"


def _check_names(matched: Mapping[str, Annotation]) -> None:
    """Refuse names in the files that would lead out of the folder."""

    for name, annotation in matched.items():
        try:
            check_name(name, "a session id")
        except ConfigError as error:
            raise DataError(
                f"{annotation.source}: {error}; with --markers, files are called as the sessions "
                f"there"
            ) from None


def _check_classes(options: argparse.Namespace) -> None:
    """Refuse classes that would be two columns of one name, and options that contradict."""
    from daart_fast.convert.onehot import BACKGROUND

    twice = sorted({name for name in options.classes or () if options.classes.count(name) > 1})
    if twice:
        raise ConfigError(f"--classes: expected each class once, got {', '.join(twice)} twice")
    if options.accept_unchanged and options.corrections is None:
        raise ConfigError("--accept_unchanged goes with --corrections")
    if options.unscored and options.multibinary:
        raise ConfigError("--unscored: with --multibinary, 0 says that a behaviour does not occur")
    if options.other is None:
        return
    if options.multibinary:
        raise ConfigError("--other: with --multibinary, frames without a behaviour have no class")
    if not options.other.strip() or options.other == BACKGROUND:
        raise ConfigError(
            f"--other: expected the name of a class, got {options.other!r}; --unscored makes "
            f"frames between bouts {BACKGROUND}, which is neither learned nor scored"
        )


def _classes(options: argparse.Namespace, annotations: list) -> list[str]:
    """Return the classes: those asked for, else all that occur or are declared, by name."""
    from daart_fast.convert.onehot import BACKGROUND

    found = {bout[0] for annotation in annotations for bout in annotation.bouts}
    found |= {name for annotation in annotations for name in annotation.classes}
    found -= {BACKGROUND}
    # corrected labels have the columns of those that the model was trained on
    known = predicted_classes(options.corrections) if options.corrections else []
    classes = list(options.classes or [*known, *sorted(found - set(known))])
    found |= set(known)
    for name in classes:
        if name not in found:
            raise ConfigError(
                f"--classes: no file has {name!r}{did_you_mean(name, found)}; there are "
                f"{', '.join(sorted(found))}"
            )
    if not classes:
        raise DataError(f"{some([str(file) for file in options.files])}: the files hold no bouts")
    if not options.classes:
        _check_spelling([*classes, BACKGROUND])
    return classes


def _check_spelling(classes: Sequence[str]) -> None:
    """Refuse two spellings of one class, which would be two; --classes may name both."""
    spellings: dict[str, list[str]] = {}
    for name in classes:
        spellings.setdefault(name.casefold(), []).append(name)
    for variants in spellings.values():
        if len(variants) > 1:
            raise DataError(
                f"expected one spelling of each class, found {' and '.join(variants)}; use one "
                f"in all files, or choose by --classes"
            )
