"""Write one html file about a model, or several side by side, to look at and to send.

It holds settings, scores, training curves, worst bouts, and an ethogram of each session that zooms
to a bout and shows the probabilities under the cursor. It needs nothing else: no network, no other
file.

It shows the data as they are now: where they have changed since the model was scored, or are others
(--data_dir), sessions are scored, and if need be predicted, anew, for the report alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

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
    with TemporaryDirectory() as temporary:
        results: dict[Path, Path] = {}
        for number, folder in enumerate(folders):
            missing = not (folder / "summary.json").is_file()
            if missing and not changes:
                evaluate(folder, {}, pictures=False)
            elif missing or not _is_current(folder, options.data_dir):
                results[folder] = Path(temporary) / str(number)
                evaluate(folder, dict(changes), pictures=False, output=results[folder])
        write_report(folders, output, options.data_dir, results)
    print(output)


def _is_current(folder: Path, data_dir: Path | None) -> bool:
    """Tell whether scores and probabilities in a model's folder are of the data as they are now.

    It is also where the data, or the model's weights, are gone: there is nothing else to show. Data
    in a place that was named are an error where they cannot be read.
    """
    from daart_fast.api import Model
    from daart_fast.config import with_defaults
    from daart_fast.errors import ConfigError, DataError
    from daart_fast.eval.stored import scores_are_current, states_are_current
    from daart_fast.utils import build_data_generator

    try:
        trained = with_defaults(Model.from_dir(folder).config)
    except DataError:
        return True
    now = {**trained, "device": "cpu", "data_dir": str(data_dir or trained["data_dir"])}
    try:
        generator = build_data_generator(dict(now))
    except (ConfigError, DataError):
        if data_dir is not None:
            raise
        return True
    return states_are_current(folder, trained, now, generator) and scores_are_current(
        folder, generator
    )
