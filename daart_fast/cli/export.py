"""Write predictions as other programs read them, to be looked at and corrected there.

  boris   predictions.boris: a project with all sessions, which BORIS opens, or imports into yours
  table   SESSION.xlsx: events that BORIS imports into an open observation (needs openpyxl)
  simba   SESSION.csv: SimBA's targets_inserted; --features names its folder features_extracted
  bouts   bouts.csv: a row for each bout of all sessions, in frames and seconds

Each file says that a model predicted it. 'daart-fast convert-labels' takes no such file for hand
labels, unless you looked at it and say so: with --corrections.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from daart_fast.cli.options import folder_to_write
from daart_fast.cli.records import FolderFiles
from daart_fast.cli.sessions import prediction_files
from daart_fast.errors import ConfigError, DataError, near, some, unreadable
from daart_fast.files import refuse_overwriting_inputs, replacing
from daart_fast.names import BACKGROUND, session_name

if TYPE_CHECKING:
    from daart_fast.eval.groups import Track

HELP = "write predictions for BORIS, for SimBA or as a table of bouts, to correct them there"
EXAMPLES = """
  daart-fast export predictions --to boris --output_dir to_correct
  daart-fast export predictions --to boris --videos videos --output_dir to_correct
  daart-fast convert-labels to_correct/predictions.boris --corrections predictions \\
      --markers data/markers --output_dir data/labels-hand
  daart-fast export predictions --to simba --features features_extracted --output_dir to_correct
"""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm")
BOUTS = ("session", "class", "start_frame", "stop_frame", "seconds", "stop_seconds", "origin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, help="predict's output, or a model's folder")
    parser.add_argument("--to", choices=WRITERS, required=True, help="the program")
    parser.add_argument(
        "--output_dir", type=folder_to_write, metavar="DIR", required=True, help="where to write"
    )
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="boris: the folder of the sessions' videos"
    )
    parser.add_argument(
        "--features", type=Path, metavar="DIR", help="simba: the folder of SimBA's features"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of the same names that are yours"
    )


def run(options: argparse.Namespace) -> None:
    from daart_fast.eval.groups import check_classes, read_track

    for name, needed in (("videos", "boris"), ("features", "simba")):
        folder = getattr(options, name)
        if folder is not None and options.to != needed:
            raise ConfigError(f"--{name} is for --to {needed}")
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder}: no such folder{near(folder)}")
    files = prediction_files(options.results)
    tracks = {session: read_track(file) for session, file in files.items()}
    check_classes(tracks)
    contents = WRITERS[options.to](options, tracks)
    outputs = FolderFiles(options.output_dir)
    refuse_overwriting_inputs([options.output_dir / name for name in contents], files.values())
    if not options.overwrite:
        outputs.check_free(contents, exact=True)
    for name, write in contents.items():
        with replacing(options.output_dir / name) as temporary:
            write(temporary)
        outputs.record([name])
        print(options.output_dir / name)
    print(
        f"{len(tracks)} sessions. Look at all of it and correct it; then daart-fast convert-labels "
        f"FILES --corrections {options.results} makes hand labels of it"
    )


#: writes one file
_Write = Callable[[Path], object]


def _bouts(track: Track) -> list[tuple[str, int, int]]:
    """Return class, first frame and frame after the last of each bout; none of background."""
    import numpy as np

    from daart_fast.eval import bouts

    names, classes = track.names, track.classes
    if classes.ndim == 1:
        found = [(names[label], start, stop) for label, start, stop in bouts(classes).tolist()]
    else:
        found = [
            (name, start, stop)
            for name, column in zip(names, classes.T.astype(np.int64), strict=True)
            for _, start, stop in bouts(column, 0).tolist()
        ]
    return [bout for bout in found if bout[0] != BACKGROUND]


def _rate(session: str, track: Track) -> float:
    if track.fps is None:
        raise DataError(
            f"{session}: BORIS needs times, but the frame rate is not known; give --fps to "
            f"'daart-fast predict', with --overwrite"
        )
    return track.fps


def _boris(options: argparse.Namespace, tracks: Mapping[str, Track]) -> dict[str, _Write]:
    """Return one project of all sessions."""
    from daart_fast.convert.boris_project import Observation, project_text

    videos = _videos(options.videos, tracks)
    observations = {
        session: Observation(
            _bouts(track), len(track.classes), _rate(session, track), videos[session]
        )
        for session, track in tracks.items()
    }
    names = [name for name in next(iter(tracks.values())).names if name != BACKGROUND]
    now = datetime.now().isoformat(timespec="seconds")
    text = project_text(options.results.absolute().name, names, observations, now)
    return {"predictions.boris": lambda path: path.write_text(text, encoding="utf-8")}


def _videos(folder: Path | None, sessions: Mapping[str, object]) -> dict[str, str]:
    """Return the path of each session's video; without a folder a name that BORIS asks about."""
    if folder is None:
        return {session: f"{session_name(session)}.mp4" for session in sessions}
    found: dict[str, list[str]] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in VIDEOS:
            found.setdefault(session_name(file.stem), []).append(str(file.absolute()))
    missing = [session for session in sessions if session_name(session) not in found]
    if missing:
        raise DataError(f"{folder}: expected the videos of {some(missing)}, found none of them")
    for session in sessions:
        if len(several := found[session_name(session)]) > 1:
            raise DataError(f"{folder}: expected one video of {session}, found {some(several)}")
    return {session: found[session_name(session)][0] for session in sessions}


def _table(options: argparse.Namespace, tracks: Mapping[str, Track]) -> dict[str, _Write]:
    """Return a workbook of events for each session."""
    from daart_fast.convert.boris_project import event_rows

    try:
        import openpyxl
    except ImportError:
        raise DataError(
            "--to table needs openpyxl: pip install 'daart_fast[excel]', or use --to boris"
        ) from None

    def writer(rows: Sequence[Sequence[object]]) -> _Write:
        def write(path: Path) -> None:
            book = openpyxl.Workbook()
            for row in rows:
                book.active.append(list(row))
            book.save(path)

        return write

    return {
        f"{session}.xlsx": writer(
            [
                ("time", "subject", "code", "modifier", "comment"),
                *(event[:5] for event in event_rows(_bouts(track), _rate(session, track))),
            ]
        )
        for session, track in tracks.items()
    }


def _simba(options: argparse.Namespace, tracks: Mapping[str, Track]) -> dict[str, _Write]:
    """Return SimBA's features of each session with a column of 0 and 1 for each behaviour."""
    if options.features is None:
        raise ConfigError(
            "--to simba: --features names SimBA's folder csv/features_extracted, as SimBA's "
            "targets are its features and the behaviours"
        )
    contents: dict[str, _Write] = {}
    for session, track in tracks.items():
        file = options.features / f"{session_name(session)}.csv"
        contents[file.name] = _targets(file, session, track)
    return contents


def _targets(file: Path, session: str, track: Track) -> _Write:
    from daart_fast.convert.boris_project import PREDICTED

    try:
        with open(file, newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
    except (OSError, ValueError) as error:
        raise DataError(unreadable(file, error, f"SimBA's features of {session}")) from None
    n_frames = len(track.classes)
    if len(rows) - 1 != n_frames:
        raise DataError(
            f"{file}: expected {n_frames} rows, one for each frame of {session}, found "
            f"{max(0, len(rows) - 1)}"
        )
    names = [name for name in track.names if name != BACKGROUND]
    cells = {name: ["0"] * n_frames for name in names}
    for name, start, stop in _bouts(track):
        cells[name][start:stop] = ["1"] * (stop - start)
    # SimBA leaves the name above the frame numbers as it is, so the mark is there
    header = [PREDICTED, *rows[0][1:], *names]
    columns = zip(*cells.values(), strict=True)
    table = [header] + [row + list(more) for row, more in zip(rows[1:], columns, strict=True)]
    return _csv(table)


def _bouts_csv(options: argparse.Namespace, tracks: Mapping[str, Track]) -> dict[str, _Write]:
    """Return one table of the bouts of all sessions."""
    from daart_fast.convert.boris_project import PREDICTED

    rows: list[Sequence[object]] = [BOUTS]
    for session, track in tracks.items():
        for name, start, stop in _bouts(track):
            times = [round(f / track.fps, 6) for f in (start, stop)] if track.fps else ["", ""]
            rows.append((session, name, start, stop, *times, PREDICTED))
    return {"bouts.csv": _csv(rows)}


def _csv(rows: Sequence[Sequence[object]]) -> _Write:
    def write(path: Path) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    return write


WRITERS = {"boris": _boris, "table": _table, "simba": _simba, "bouts": _bouts_csv}
