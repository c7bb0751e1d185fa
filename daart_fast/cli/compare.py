"""Compare groups of animals: time, bouts and transitions of each behaviour.

It reads SESSION_predictions.csv of each session in a folder (of 'daart-fast predict', or a model's)
and a table of groups: a csv with the columns session and group. A third column, animal, names the
animal where several sessions are of one: they are then taken together. Without it each session is
an animal.

Written are group_animals.csv (a row for each animal and measure, for statistics programs),
group_means.csv (means over animals with 95% intervals of a bootstrap over animals, and differences
from the first group) and groups.png (a point for each animal). There are no p-values: an animal is
one observation, however many frames it has.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daart_fast.cli.options import folder_to_write
from daart_fast.cli.records import FolderFiles
from daart_fast.cli.sessions import prediction_files
from daart_fast.errors import ConfigError, DataError, did_you_mean, some, unreadable
from daart_fast.files import refuse_overwriting_inputs, replacing
from daart_fast.names import session_name

if TYPE_CHECKING:
    from daart_fast.eval.groups import Track

HELP = "compare groups of animals: time, bouts, transitions, with intervals over animals"
EXAMPLES = """
  daart-fast compare predictions --groups groups.csv
  daart-fast compare predictions --groups groups.csv --reference saline --output_dir comparison
"""
ANIMALS, MEANS, PICTURE = "group_animals.csv", "group_means.csv", "groups.png"
#: below so many animals in a group, intervals are too short to be believed
FEW = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, help="predict's output, or a model's folder")
    parser.add_argument(
        "--groups", type=Path, metavar="FILE", required=True, help="a csv: session, group[, animal]"
    )
    parser.add_argument(
        "--reference", metavar="GROUP", help="what other groups are compared with (the first)"
    )
    parser.add_argument(
        "--output_dir", type=folder_to_write, metavar="DIR", help="where to write (RESULTS)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of the same names that are yours"
    )


def run(options: argparse.Namespace) -> None:
    from daart_fast.eval.group_picture import plot_groups
    from daart_fast.eval.groups import check_classes, measure_animals, read_track, summarise_groups

    files = prediction_files(options.results)
    table = _read_groups(options.groups)
    group_of, sessions = _animals(options.groups, table, files)
    order = list(dict.fromkeys(group_of.values()))
    reference = options.reference if options.reference is not None else order[0]
    if reference not in order:
        raise ConfigError(
            f"--reference: there is no group {reference!r}{did_you_mean(reference, order)}; "
            f"there are {', '.join(order)}"
        )
    folder = options.output_dir or options.results
    outputs = FolderFiles(folder)
    refuse_overwriting_inputs([folder / name for name in (ANIMALS, MEANS)], [options.groups])
    if not options.overwrite:
        outputs.check_free([ANIMALS, MEANS, PICTURE])
    tracks = {name: read_track(files[name]) for own in sessions.values() for name in own}
    check_classes(tracks)
    rows = measure_animals({a: [tracks[name] for name in own] for a, own in sessions.items()})
    means = summarise_groups(rows, group_of, reference)
    labelled = [
        {"group": group_of[row["animal"]], "sessions": " ".join(sessions[row["animal"]]), **row}
        for row in rows
    ]
    _write(folder / ANIMALS, labelled)
    _write(folder / MEANS, means)
    plot_groups(rows, means, group_of, folder / PICTURE)
    outputs.record([ANIMALS, MEANS, PICTURE])
    _print(means, group_of, reference)
    _print_cautions(options, tracks, [name for name in files if name not in tracks], group_of)
    print(f"{folder / ANIMALS}\n{folder / MEANS}\n{folder / PICTURE}")


def _read_groups(path: Path) -> list[dict[str, str]]:
    """Return the rows of the table of groups, with ``line``; names without spaces around them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error, "a csv of sessions and groups")) from None
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t", key=first.count)
    header, *lines = csv.reader(io.StringIO(text), delimiter=separator) if first else [[]]
    names = [cell.strip().lower() for cell in header]
    if not {"session", "group"} <= set(names):
        raise DataError(
            f"{path}: expected the columns session and group, found "
            f"{', '.join(header) or 'nothing'}"
        )
    rows = []
    for number, line in enumerate(lines, start=2):
        if not any(cell.strip() for cell in line):
            continue
        row = dict(zip(names, (cell.strip() for cell in line), strict=False))
        lacking = [name for name in ("session", "group", "animal") if name in names]
        lacking = [name for name in lacking if not row.get(name)]
        if lacking:
            raise DataError(f"{path}, line {number}: expected a value for {lacking[0]}")
        rows.append(row | {"line": str(number)})
    if not rows:
        raise DataError(f"{path}: expected a row for each session, found none")
    return rows


def _animals(
    path: Path, table: Sequence[Mapping[str, str]], files: Mapping[str, Path]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the group and the sessions of each animal; refuse what fits no session, or two."""
    called = {session_name(name): name for name in files}
    groups: dict[str, str] = {}
    sessions: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    for row in table:
        where, given = f"{path}, line {row['line']}", row["session"]
        session = given if given in files else called.get(session_name(given))
        if session is None:
            raise DataError(
                f"{where}: there is no session {given!r}{did_you_mean(given, files)}; there are "
                f"{some(list(files))}"
            )
        if session in taken:
            raise DataError(f"{where}: {session} is in line {taken[session]} already")
        taken[session] = row["line"]
        animal = row.get("animal") or session
        if groups.setdefault(animal, row["group"]) != row["group"]:
            raise DataError(
                f"{where}: expected {animal} in one group, found {groups[animal]} and "
                f"{row['group']}; name animals that are measured twice for each condition apart "
                f"(as {animal}_{row['group']}), which leaves out that they are the same"
            )
        sessions.setdefault(animal, []).append(session)
    return groups, sessions


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: f"{v:.10g}" if isinstance(v, float) else v for key, v in row.items()}
            for row in rows
        )


def _print(means: Sequence[Mapping[str, Any]], groups: Mapping[str, str], reference: str) -> None:
    """Print the time in each behaviour: mean and interval of each group, and the difference."""
    print("time in each behaviour, % of all frames: mean over animals [95% interval]")
    for row in means:
        if row["measure"] != "time":
            continue
        text = f"  {row['class']}, {row['group']}: {row['mean']:.1f}{_ends(row, '')}"
        if row["difference"] is not None:
            text += f"; {row['difference']:+.1f}{_ends(row, 'difference_')} from {reference}"
        print(text)


def _ends(row: Mapping[str, Any], which: str) -> str:
    low, high = row[f"{which}low"], row[f"{which}high"]
    return "" if low is None else f" [{low:.1f}, {high:.1f}]"


def _print_cautions(
    options: argparse.Namespace,
    tracks: Mapping[str, Track],
    left_out: Sequence[str],
    groups: Mapping[str, str],
) -> None:
    """Print what a reader of the numbers must know."""
    for group in dict.fromkeys(groups.values()):
        n = list(groups.values()).count(group)
        if n < FEW:
            print(f"caution: {group} has {n} animal{'s' * (n != 1)}; intervals are too short then")
    if left_out:
        print(f"left out, as {options.groups} has no row for them: {some(list(left_out))}")
    if len(rates := {track.fps for track in tracks.values()}) > 1:
        print(f"caution: sessions differ in frame rate: {', '.join(map(str, rates))}")
    if rates == {None}:
        print("no bouts a minute, and durations in frames: predict was not given --fps")
    if any(track.classes.ndim == 2 for track in tracks.values()):
        print("no transitions: several behaviours may occur at once")
    if trained := _trained_on(options.results, tracks):
        print(
            f"caution: the model was trained on {some(trained)}: predictions there are closer to "
            f"the hand labels than those of other sessions"
        )


def _trained_on(folder: Path, sessions: Mapping[str, Track]) -> list[str]:
    """List the sessions that training had, as time_budget.csv says."""
    file = folder / "time_budget.csv"
    if not file.is_file():
        return []
    with open(file, newline="", encoding="utf-8") as lines:
        used = {row.get("session"): row.get("split") for row in csv.DictReader(lines)}
    return [name for name in sessions if used.get(name) == "train"]
