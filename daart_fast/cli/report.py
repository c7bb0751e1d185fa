"""Write one html file about a model, or several side by side, to look at and to send.

It holds settings, scores, training curves, worst bouts, and an ethogram of each session that zooms
to a bout and shows the probabilities under the cursor. It needs nothing else: no network, no other
file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daart_fast.cli.sessions import model_folders

HELP = "write report.html: scores, curves and an interactive ethogram of one or more models"
EXAMPLES = """
  daart-fast report results/multi-0/dtcn/test/version_0
  daart-fast report results
  daart-fast report version_0 version_3 --output report.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model_dir", type=Path, nargs="+", help="version_N folders, or folders above"
    )
    parser.add_argument(
        "--output", type=Path, help="the file (report.html in the folder given, or here)"
    )
    parser.add_argument("--data_dir", type=Path, help="where the data are now, if they moved")


def run(options: argparse.Namespace) -> None:
    from daart_fast.cli.evaluate import evaluate
    from daart_fast.report import check_output, write_report

    single = len(options.model_dir) == 1
    output = options.output or (options.model_dir[0] if single else Path()) / "report.html"
    check_output(output)
    changes = {} if options.data_dir is None else {"data_dir": str(options.data_dir)}
    folders = model_folders(options.model_dir)
    for folder in folders:
        if not (folder / "summary.json").is_file():
            evaluate(folder, dict(changes), pictures=False)
    write_report(folders, output, options.data_dir)
    print(output)
