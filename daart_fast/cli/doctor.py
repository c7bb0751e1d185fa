"""Read every file of a project and list what would fail, and what might surprise.

Files that can't be read, whatever they hold, lengths that differ, channels or classes that differ
from session to session, gaps, constant channels, how often each class is labelled, frames that
are not scored. The exit code is 1 if anything would fail.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daart_fast.cli.options import setting

HELP = "read every file of a project, and list what would fail or surprise"
EXAMPLES = """
  daart-fast doctor data
  daart-fast doctor data --input_type features --likelihood_threshold 0.5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data_dir", type=Path, help="the folder with markers/ and labels-hand/")
    parser.add_argument("--input_type", default="markers", help="the folder of inputs (markers)")
    parser.add_argument(
        "--likelihood_threshold",
        type=setting("likelihood_threshold"),
        default=0.0,
        help="points less sure count as missing",
    )
    parser.add_argument(
        "--classifier_type", choices=("multiclass", "binary", "multibinary"), default="multiclass"
    )
    parser.add_argument(
        "--ignore_class",
        type=setting("ignore_class"),
        default=0,
        help="the class that is neither learned nor scored (0), or -100 for none",
    )


def run(options: argparse.Namespace) -> int:
    from daart_fast.project.checkup import examine

    report = examine(
        options.data_dir,
        options.input_type,
        options.likelihood_threshold,
        options.classifier_type,
        options.ignore_class,
    )
    print(report.table())
    for note in report.notes:
        print(f"\n{note}")
    for title, lines in (("might surprise", report.surprises), ("would fail", report.failures)):
        if lines:
            print(f"\n{title}:")
            print("\n".join(f"  - {line}" for line in lines))
    if not report.failures:
        n = len(report.sessions)
        print(f"\n{n} session{'s' if n != 1 else ''} can be read")
    return 1 if report.failures else 0
