"""Write one html file about new videos or a model, or several models, to look at and to send.

It holds settings, scores, time budgets, training curves, worst bouts, and an ethogram of each
session that zooms to a bout and shows the probabilities under the cursor. It needs nothing else: no
network, no other file.

New videos are those in a folder that 'daart-fast predict' wrote, or, with a model, those in
--data_dir, which are predicted first (into DATA_DIR/predictions). The report lies in the folder of
predictions, beside summary.json and time_budget.csv. Without hand labels it has no scores.

A model's own data are shown as they are now. If they have changed since it was scored, sessions are
scored again for the report, and predicted again where needed; the model's folder stays as it is. If
the data moved, --data_dir says where they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from daart_fast.cli.evaluate import evaluate
from daart_fast.cli.options import folder_to_write
from daart_fast.cli.predictions import (
    Predictions,
    evaluate_predictions,
    new_videos,
    print_labels,
)
from daart_fast.cli.predictions import add_arguments as add_model_arguments
from daart_fast.cli.records import FolderFiles
from daart_fast.cli.sessions import model_folders
from daart_fast.errors import ConfigError, DataError

REPORT = "report.html"
HELP = "write report.html: scores, time budgets and ethograms of models or of new videos"
EXAMPLES = """
  daart-fast report predictions
  daart-fast report version_0 --data_dir new_videos
  daart-fast report results/multi-0/dtcn/test/version_0
  daart-fast report results
  daart-fast report version_0 version_3 --output report.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the report (report.html in the folder given)"
    )
    parser.add_argument(
        "--output_dir", type=folder_to_write, metavar="DIR", help="new videos: where to write"
    )


def run(options: argparse.Namespace) -> int:
    from daart_fast.report import check_output

    if options.output is not None:
        check_output(options.output)
    predictions, code = new_videos(options)
    if predictions is None:
        if options.output_dir is not None:
            raise ConfigError("--output_dir: expected new videos; --output names a model's report")
        _report_models(options)
    else:
        _report_new(predictions, options)
    return code


def _report_new(predictions: Predictions, options: argparse.Namespace) -> None:
    """Write the report on new videos, and the tables that it shows."""
    from daart_fast.eval.printed import print_cautions
    from daart_fast.report import write_report

    folder = options.output_dir or predictions.folder
    output = options.output or folder / REPORT
    files = FolderFiles(folder)
    if options.output is None and not options.overwrite:
        files.check_free([REPORT])
    summary = evaluate_predictions(predictions, folder, False, options.overwrite)
    print_cautions(summary)
    print_labels(predictions)
    model_dir = predictions.model_dir
    write_report([model_dir], output, results={model_dir: folder}, new=predictions.sessions)
    if options.output is None:
        files.record([REPORT])
    print(output)


def _report_models(options: argparse.Namespace) -> None:
    from daart_fast.report import check_output, write_report

    single = len(options.model_dir) == 1
    output = options.output or (options.model_dir[0] if single else Path()) / REPORT
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
    from daart_fast.data.from_config import build_data_generator
    from daart_fast.eval.stored import scores_are_current, states_are_current

    try:
        trained = Model.from_dir(folder).config
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
