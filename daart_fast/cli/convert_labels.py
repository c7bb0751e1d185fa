"""Turn hand labels of other programs into the one-hot csv files that daart_fast reads.

Understood are exports of BORIS (tabular or aggregated events, csv or tsv), SimBA's targets,
Caltech Behavior Annotator's txt, DeepEthogram's csv, and tables of bouts (class, start, stop).
All files of a project belong into one command, so that all get the same classes.

With --markers, each file is matched to a session by its name, gets its length, and is called as it.

Nothing is written unless all files can be converted. Labels that are there already, and are others,
are replaced with --overwrite alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daart_fast.cli.options import count, folder_to_write, setting
from daart_fast.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from daart_fast.convert import Annotation

HELP = "turn labels of BORIS, SimBA, Caltech, DeepEthogram or bout tables into one-hot csv"
EXAMPLES = """
  daart-fast convert-labels boris/*.csv --markers data/markers --output_dir data/labels-hand
  daart-fast convert-labels mouse1.annot.txt --n_frames 18000 --output_dir data/labels-hand
  daart-fast convert-labels bouts.csv --fps 30 --markers data/markers --other still \\
      --output_dir data/labels-hand
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from daart_fast.convert import FORMATS
    from daart_fast.convert.onehot import OVERLAPS

    parser.add_argument("files", type=Path, nargs="+", help="the label files")
    parser.add_argument(
        "--output_dir", type=folder_to_write, required=True, help="the folder to write to"
    )
    parser.add_argument("--markers", type=Path, help="the folder of the sessions' inputs")
    parser.add_argument(
        "--fps", type=setting("fps"), help="frames a second, where files hold times"
    )
    parser.add_argument("--n_frames", type=count, help="frames of each session, without --markers")
    parser.add_argument("--format", choices=FORMATS, help="if it is not told by how files look")
    parser.add_argument("--subject", help="BORIS: this subject's behaviours alone")
    parser.add_argument("--classes", nargs="+", help="only these, in this order (all, sorted)")
    parser.add_argument("--other", help="the class of frames without a behaviour (background)")
    parser.add_argument(
        "--overlaps", choices=OVERLAPS, default="error", help="two behaviours at once: which counts"
    )
    parser.add_argument(
        "--multibinary", action="store_true", help="several behaviours may occur at once"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace label files that hold something else"
    )


def run(options: argparse.Namespace) -> None:
    from daart_fast.cli.sessions import session_files
    from daart_fast.convert import match_sessions, one_hot, one_hot_text, read_annotations
    from daart_fast.convert.onehot import BACKGROUND
    from daart_fast.files import holds, replacing, spare_inputs, spare_others

    annotations = [
        annotation
        for file in options.files
        for annotation in read_annotations(
            file, options.fps, options.format, options.subject, options.classes or ()
        )
    ]
    _check_classes(options)
    classes = _classes(options, annotations)
    files = session_files([options.markers]) if options.markers else {}
    if options.markers:
        matched = match_sessions(annotations, files)
    else:
        matched = {annotation.names[0]: annotation for annotation in annotations}
        if len(matched) < len(annotations):
            raise DataError("two of the files are about sessions of one name")
        _check_names(matched)
    names = classes if options.multibinary else [BACKGROUND, *classes]
    texts: dict[Path, bytes] = {}
    told: dict[Path, str] = {}
    for session, annotation in matched.items():
        n_frames = _n_frames(files.get(session)) or options.n_frames or annotation.n_frames
        if not n_frames:
            raise DataError(
                f"{annotation.source}: how many frames are there? Give --markers or --n_frames"
            )
        table = one_hot(
            annotation, classes, n_frames, options.overlaps, options.other, options.multibinary
        )
        path = options.output_dir / f"{session}.csv"
        texts[path] = one_hot_text(table, names).encode()
        counts = ", ".join(f"{n} {c}" for n, c in zip(table.sum(0), names, strict=True) if n)
        told[path] = f"{path}: {n_frames} frames: {counts}"
    spare_inputs(texts, [*options.files, *files.values()])
    changed = [path for path, text in texts.items() if not holds(path, text)]
    if not options.overwrite:
        spare_others([path for path in changed if os.path.lexists(path)], "one of the same labels")
    for path, line in told.items():
        if path in changed:
            with replacing(path) as temporary:
                temporary.write_bytes(texts[path])
        print(line, flush=True)


def _check_names(matched: Mapping[str, Annotation]) -> None:
    """Refuse names in the files that would lead out of the folder."""
    from daart_fast.config import check_name

    for name, annotation in matched.items():
        try:
            check_name(name, "a session id")
        except ConfigError as error:
            raise DataError(
                f"{annotation.source}: {error}; with --markers, files are called as the sessions "
                f"there"
            ) from None


def _check_classes(options: argparse.Namespace) -> None:
    """Refuse classes that would be two columns of one name, or one that can never occur."""
    from daart_fast.convert.onehot import BACKGROUND

    twice = sorted({name for name in options.classes or () if options.classes.count(name) > 1})
    if twice:
        raise ConfigError(f"--classes: expected each class once, got {', '.join(twice)} twice")
    if options.other is None:
        return
    if options.multibinary:
        raise ConfigError("--other: with --multibinary, frames without a behaviour have no class")
    if not options.other.strip() or options.other == BACKGROUND:
        raise ConfigError(
            f"--other: expected the name of a class, got {options.other!r}; without --other, "
            f"frames without a behaviour are {BACKGROUND}"
        )


def _classes(options: argparse.Namespace, annotations: list) -> list[str]:
    """Return the classes: those asked for, else all that occur or are declared, by name."""
    from daart_fast.convert.onehot import BACKGROUND

    found = {bout[0] for annotation in annotations for bout in annotation.bouts}
    found |= {name for annotation in annotations for name in annotation.classes}
    found -= {BACKGROUND}
    classes = list(options.classes or sorted(found))
    for name in classes:
        if name not in found:
            raise ConfigError(
                f"--classes: no file has {name!r}{did_you_mean(name, found)}; there are "
                f"{', '.join(sorted(found))}"
            )
    if options.other and options.other not in classes:
        classes.insert(0, options.other)
    if not classes:
        raise DataError("the files hold no bouts")
    if not options.classes:
        _check_spelling([*classes, BACKGROUND])
    return classes


def _check_spelling(classes: Sequence[str]) -> None:
    """Refuse two spellings of one class, which would be two; --classes may name both."""
    spellings: dict[str, list[str]] = {}
    for name in classes:
        spellings.setdefault(name.casefold(), []).append(name)
    for alike in spellings.values():
        if len(alike) > 1:
            raise DataError(
                f"expected one spelling of each class, found {' and '.join(alike)}; make them "
                f"alike in the files, or choose by --classes"
            )


def _n_frames(path: Path | None) -> int | None:
    from daart_fast.data.readers import read_inputs

    return None if path is None else len(read_inputs(path).values)
