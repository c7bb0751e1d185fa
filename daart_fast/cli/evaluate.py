"""Score a model against hand labels; write tables and pictures. New videos are taken too.

Written are SESSION_predictions.csv, SESSION_bouts.csv, time_budget.csv (a row for each session and
behaviour), summary.json (every score), SESSION_ethogram.png, confusion.png, bout_lengths.png and
reliability.png: into the model's folder, or that of the predictions.

New videos are in a folder that 'daart-fast predict' wrote, or in --data_dir; these are predicted
first, into DATA_DIR/predictions. Hand labels are looked for beside the inputs (labels-hand);
without them there are no scores. Sessions that the training had are never scored as new.

If the model's own data moved, --data_dir says where they are. If they have changed since the model
was scored, --output_dir says where to write.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from daart_fast.cli.options import folder_to_write, setting
from daart_fast.cli.predictions import (
    Predictions,
    evaluate_predictions,
    new_videos,
    print_labels,
)
from daart_fast.cli.predictions import add_arguments as add_model_arguments
from daart_fast.cli.sessions import model_folders
from daart_fast.errors import ConfigError, DataError, some
from daart_fast.experiment.check_settings import check_together

if TYPE_CHECKING:
    from daart_fast.api import Model
    from daart_fast.data import DataGenerator

HELP = "score a model, and write tables and pictures of its predictions"
EXAMPLES = """
  daart-fast evaluate results/multi-0/dtcn/test/version_0
  daart-fast evaluate predictions --labels labels-of-new-videos
  daart-fast evaluate version_0 --data_dir new_videos
  daart-fast evaluate version_0 --smoothing bouts --smoothing_seconds 0.5 --fps 30
  daart-fast evaluate results/multi-0/dtcn/test/version_* --search search.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--output_dir", type=folder_to_write, metavar="DIR", help="where to write")
    for name, (value, text) in CHANGES.items():
        # null is a value too
        parser.add_argument(
            f"--{name}", type=setting(name), metavar=value, default=argparse.SUPPRESS, help=text
        )
    parser.add_argument("--no-pictures", action="store_true", help="tables only")
    parser.add_argument("--search", type=Path, metavar="FILE", help="draw scores against settings")


#: keys that may be changed after training: what stands for their value, and what they mean
CHANGES = {
    "fps": ("RATE", "frames a second, for times; features stay as trained"),
    "smoothing": ("HOW", "none, bouts, median, hmm, semi-markov or auto"),
    "smoothing_seconds": ("S", "how long, for bouts and median"),
    "smoothing_frames": ("N", "the same in frames"),
    "smoothing_strength": ("X", "for hmm and semi-markov, above 0, up to 1"),
    "picture_format": ("FORMAT", "png, pdf, svg, or several as 'png;pdf'"),
}
#: which ways of smoothing read them
USED_BY = {
    "smoothing_seconds": ("bouts", "median", "auto"),
    "smoothing_frames": ("bouts", "median", "auto"),
    "smoothing_strength": ("hmm", "semi-markov", "auto"),
}


def run(options: argparse.Namespace) -> int:
    predictions, code = new_videos(options)
    if predictions is None:
        _evaluate_models(options)
    else:
        _evaluate_new(predictions, options)
    return code


def _evaluate_new(predictions: Predictions, options: argparse.Namespace) -> None:
    """Write and print what there is to say of new videos."""
    from daart_fast.eval.printed import print_scores
    from daart_fast.eval.time_budget import TIME_BUDGET

    if options.search:
        raise ConfigError("--search: expected models, found predictions of new videos")
    if hasattr(options, "picture_format"):
        hparams = {**predictions.hparams, "picture_format": options.picture_format}
        predictions = replace(predictions, hparams=hparams)
    output, pictures = options.output_dir or predictions.folder, not options.no_pictures
    summary = evaluate_predictions(predictions, output, pictures, options.overwrite)
    print(output)
    print_scores(summary)
    print_labels(predictions)
    print(f"{len(summary['sessions'])} sessions; time budgets in {output / TIME_BUDGET}")
    print(f"next: daart-fast report {shlex.quote(str(predictions.folder))}")


def _evaluate_models(options: argparse.Namespace) -> None:
    from daart_fast.eval import plot_search
    from daart_fast.eval.printed import print_scores

    folders = model_folders(options.model_dir)
    if options.output_dir is not None:
        _check_output(options.output_dir, folders)
    all_changes = [_changes(options, folder) for folder in folders]  # before any is written
    for folder, changes in zip(folders, all_changes, strict=True):
        if options.data_dir is not None:
            changes["data_dir"] = str(options.data_dir)
        pictures = not options.no_pictures
        summary = evaluate(folder, changes, pictures=pictures, output=options.output_dir)
        print(folder)
        print_scores(summary)
    if options.search:
        plot_search(folders, options.search)


def _check_output(folder: Path, models: Sequence[Path]) -> None:
    """Refuse to write among files that are of something else."""
    if len(models) > 1:
        raise ConfigError(f"--output_dir: expected one model, found {len(models)}")
    if not folder.is_dir() or folder.resolve() == models[0].resolve():
        return
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    cut_short = all(name.endswith("_states.npy") for name in names)  # they are written first
    if "hparams.yaml" in names or not (cut_short or "summary.json" in names):
        raise DataError(
            f"{folder}: expected no folder, an empty one, or one of an earlier evaluation; found "
            f"{some(sorted(names))}"
        )


def _changes(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the keys that were given; refuse those that this model's smoothing does not read."""
    from daart_fast.api.model import HPARAMS, read_hparams

    changes = {name: getattr(options, name) for name in CHANGES if hasattr(options, name)}
    given = [name for name in USED_BY if changes.get(name) is not None]
    if {"smoothing_seconds", "smoothing_frames"} <= set(given):
        raise ConfigError("--smoothing_seconds and --smoothing_frames: expected one of them")
    if given:
        smoothing = {**read_hparams(folder / HPARAMS), **changes}["smoothing"]
    for name in given:
        if smoothing is None:
            raise ConfigError(
                f"--{name}: expected --smoothing too: {folder} was trained to go without"
            )
        if smoothing not in USED_BY[name]:
            *first, last = USED_BY[name]
            raise ConfigError(
                f"--{name}: expected --smoothing {', '.join(first)} or {last}, found {smoothing!r}"
            )
    if "smoothing_seconds" in given:  # frames of training would count before it
        changes["smoothing_frames"] = None
    return changes


def evaluate(
    folder: Path, changes: dict[str, Any], pictures: bool = True, output: Path | None = None
) -> dict[str, Any]:
    """Write tables, summary and pictures of one model; return the summary.

    Parameters
    ----------
    folder
        the model's
    changes
        keys that are other than in training
    pictures
        whether to draw
    output
        where to write, probabilities too where those stored do not count, smoothed as the model is
        now unless `changes` say how; None: into the model's folder

    Raises
    ------
    DataError
        the data are others than the scores in the model's folder are of, and `output` is None
    """
    from daart_fast.api import Model
    from daart_fast.eval import summarise
    from daart_fast.eval.album import draw_all
    from daart_fast.eval.selection import SMOOTHER_FILE, smoother_of

    model = Model.from_dir(folder)
    hparams = {**model.config, **changes, "device": "cpu"}
    check_together(hparams)
    generator = _generator_of(model, hparams["data_dir"])
    if output is None:
        _check_same_data(model, hparams, generator, folder)
    elif output.resolve() == folder.resolve():
        output = None
    with _current_states(model, hparams, generator, folder, output) as states_dir:
        kept = output is not None and not changes.keys() & {"smoothing", *USED_BY}
        kept = kept and (folder / SMOOTHER_FILE).is_file()
        smoother = smoother_of(folder) if kept else None
        summary = summarise(hparams, generator, output or folder, states_dir, smoother)
        if pictures:
            draw_all(hparams, generator, output or folder, summary, states_dir)
    return summary


def _generator_of(model: Model, data_dir: str) -> DataGenerator:
    """Read the model's sessions as in training: features at its frame rate, on its scale."""
    from daart_fast.data.from_config import build_data_generator

    generator = build_data_generator({**model.config, "data_dir": data_dir, "device": "cpu"})
    _check_names(model.config, generator, data_dir)
    if model.config["normalization"] == "train":
        generator.normalise_by(*model.training_statistics())
    return generator


def _check_same_data(
    model: Model, hparams: dict[str, Any], generator: DataGenerator, folder: Path
) -> None:
    """Refuse to write results of other data over those in the model's folder."""
    from daart_fast.eval.stored import same_folder, scores_are_current

    if same_folder(model.config, hparams) or not (folder / "summary.json").is_file():
        return
    if not scores_are_current(folder, generator):
        raise DataError(
            f"{hparams['data_dir']}: expected the data that the scores in {folder} are of, found "
            f"others; --output_dir says where to write theirs (--output_dir {folder}: over those)"
        )


@contextmanager
def _current_states(
    model: Model,
    hparams: dict[str, Any],
    generator: DataGenerator,
    folder: Path,
    output: Path | None,
) -> Iterator[Path]:
    """Yield a folder with the probabilities of the data as they are.

    They are the model's own if those are of this ``data_dir``; else they lie in a folder that is
    gone afterwards, or in `output`.
    """
    from daart_fast.eval.stored import same_folder, states_are_current
    from daart_fast.models import export_states

    if states_are_current(folder, model.config, hparams, generator):
        yield folder
        return
    own = same_folder(model.config, hparams)
    with TemporaryDirectory() as temporary:
        where = output or (folder if own else Path(temporary))
        export_states(model.model.to("cpu"), generator, where)
        yield where


def _check_names(config: dict[str, Any], generator: DataGenerator, data_dir: str) -> None:
    """Refuse data whose classes or channels are not the model's, or come in another order."""
    from daart_fast.readers.feature_tables import channel_names

    for what, key, found in (
        ("classes", "label_names", generator.label_names),
        ("channels", "input_names", generator.input_names),
    ):
        expected = list(config.get(key) or found)
        unnamed = channel_names(len(found)) in (expected, found)  # as those of npy
        if found and expected != found and (key == "label_names" or not unnamed):
            raise DataError(
                f"{data_dir}: expected the {what} that the model was trained with "
                f"({', '.join(expected[:8])}), found {', '.join(found[:8])}"
            )
