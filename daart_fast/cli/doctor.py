"""Read every file of a project: which file is which session's what, and what would go wrong.

Settings in the folder's data.yaml and model.yaml count, unless the command line says otherwise.

Files that can't be read, whatever they hold, lengths that differ, channels or classes that differ
from session to session, gaps, constant channels, how often each class is labelled, frames that
are not scored. It ends with the commands that come next. The exit code is 1 if anything would fail.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daart_fast.cli.options import setting
from daart_fast.config import KEYS, settings_in

if TYPE_CHECKING:
    from daart_fast.project.checkup import Checkup

HELP = "read every file of a project, and list what would fail or surprise"
EXAMPLES = """
  daart-fast doctor data
  daart-fast doctor data --input_type features --likelihood_threshold 0.5
  daart-fast doctor data --json
"""


#: keys of the config files that decide what is read
SETTINGS = (
    "likelihood_threshold", "keypoints", "animals", "classifier_type", "ignore_class",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data_dir", type=Path, help="the folder with markers/ and labels-hand/")
    parser.add_argument(
        "--input_type", help="the folder of inputs (markers, or the only one that is there)"
    )
    for name in SETTINGS:
        key = KEYS[name]
        kind = {"choices": key.choices} if key.choices else {"type": setting(name)}
        parser.add_argument(f"--{name}", help=key.help, **kind)  # type: ignore[arg-type]
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    from daart_fast.project.checkup import examine

    given = _settings(options)
    report = examine(options.data_dir, **given)
    following = _next(options, report)
    if options.json:
        print(json.dumps({**report.described(), "next": following}, indent=2))
        return 1 if report.failures else 0
    print(report.table())
    rate = f"{report.fps:g} frames a second" if report.fps else "not in the files (--fps)"
    print(f"\ninputs: {report.input_type}/; frame rate of the labels: {rate}")
    for note in report.notes:
        print(f"\n{note}")
    for title, lines in (("might surprise", report.surprises), ("would fail", report.failures)):
        if lines:
            print(f"\n{title}:")
            print("\n".join(f"  - {line}" for line in lines))
    if not report.failures:
        n = len(report.sessions)
        print(f"\n{n} session{'s' if n != 1 else ''} can be read")
    if following:
        print("\nWhat next:\n" + "\n".join(f"  {line}" for line in following))
    return 1 if report.failures else 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the folder's data.yaml and train.yaml, and those on the command line.

    Lists are searched over: their first value is looked at.
    """
    files = [options.data_dir / f"{name}.yaml" for name in ("data", "model", "train")]
    stored = settings_in(*(file for file in files if file.is_file()))
    ids = ("expt_ids", "expt_ids_val", "expt_ids_test")
    wanted = (*SETTINGS, "input_type", "fps", *ids)
    given = {name: one.value for name, one in stored.items() if name in wanted}
    asked = {name: getattr(options, name) for name in (*SETTINGS, "input_type")}
    given |= {name: value for name, value in asked.items() if value is not None}
    return {
        name: value[0] if isinstance(value, list) and name not in ids else value
        for name, value in given.items()
    }


def _next(options: argparse.Namespace, report: Checkup) -> list[str]:
    """Return the commands that come next, ready to copy."""
    folder = str(options.data_dir)
    labelled = [found for found in report.sessions if found.classes]
    if not labelled:
        folders = (options.data_dir / name for name in (report.input_type, "labels-hand"))
        inputs, labels = (shlex.quote(str(place)) for place in folders)
        return [f"daart-fast convert-labels EXPORTS --markers {inputs} --output_dir {labels}"]
    if report.failures:
        return []
    command = ["train", folder]
    if report.input_type != "markers" and not (options.data_dir / "data.yaml").is_file():
        command += ["--input_type", report.input_type]
    if not report.fps and not (options.data_dir / "data.yaml").is_file():
        return [f"{shlex.join(['daart-fast', *command])} --fps RATE"]
    return [shlex.join(["daart-fast", *command])]
