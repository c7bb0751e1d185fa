"""Score a model against the hand labels, and write its predictions as tables and pictures.

In the model's folder: SESSION_predictions.csv, SESSION_bouts.csv, summary.json (every score),
SESSION_ethogram.png, confusion.png, bout_lengths.png and reliability.png. Scores of frames the
model was trained on are told apart from those held out for validation and test.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daart_fast.cli.sessions import model_folders

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator

HELP = "score a model, and write tables and pictures of its predictions"
EXAMPLES = """
  daart-fast evaluate results/multi-0/dtcn/test/version_0
  daart-fast evaluate version_0 --smoothing bouts --smoothing_seconds 0.5 --fps 30
  daart-fast evaluate results/multi-0/dtcn/test/version_* --search search.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model_dir", type=Path, nargs="+", help="version_N folders, or folders above"
    )
    parser.add_argument("--data_dir", type=Path, help="where the data are now, if they moved")
    for name, (kind, text) in CHANGES.items():
        parser.add_argument(f"--{name}", type=kind, help=text)
    parser.add_argument("--no-pictures", action="store_true", help="tables alone")
    parser.add_argument("--search", type=Path, help="draw scores against settings into this file")


#: keys that may be changed after training
CHANGES: dict[str, tuple[type, str]] = {
    "fps": (float, "frames a second"),
    "smoothing": (str, "none, bouts, median, hmm, semi-markov or auto, instead of the model's"),
    "smoothing_seconds": (float, "how long, for bouts and median"),
    "smoothing_frames": (int, "the same in frames"),
    "smoothing_strength": (float, "for hmm and semi-markov, above 0, up to 1"),
}


def run(options: argparse.Namespace) -> None:
    from daart_fast.eval import plot_search

    folders = model_folders(options.model_dir)
    for folder in folders:
        changes = {name: value for name in CHANGES if (value := getattr(options, name)) is not None}
        if options.data_dir is not None:
            changes["data_dir"] = str(options.data_dir)
        summary = evaluate(folder, changes, pictures=not options.no_pictures)
        print(folder)
        print_scores(summary)
    if options.search:
        plot_search(folders, options.search)


def evaluate(folder: Path, changes: dict[str, Any], pictures: bool = True) -> dict[str, Any]:
    """Write tables, summary and pictures of one model; return the summary."""
    from daart_fast.api import Model
    from daart_fast.config import KEYS, check_together, with_defaults
    from daart_fast.errors import ConfigError
    from daart_fast.eval import summarise
    from daart_fast.eval.album import draw_all
    from daart_fast.models import export_states
    from daart_fast.utils import build_data_generator

    model = Model.from_dir(folder)
    for name, value in changes.items():
        try:
            changes[name] = KEYS[name].check(value)
        except ValueError as error:
            raise ConfigError(f"--{name} {value}: expected {error or KEYS[name].wants}") from None
    hparams = with_defaults({**model.config, **changes, "device": "cpu"})
    check_together(hparams)
    generator = build_data_generator(dict(hparams))
    if not _has_states(folder, generator):
        export_states(model.model.to("cpu"), generator, folder)
    summary = summarise(hparams, generator, folder)
    if pictures:
        draw_all(hparams, generator, folder, summary)
    return summary


def _has_states(folder: Path, generator: DataGenerator) -> bool:
    """Tell whether every frame of every session is predicted; daart leaves the last ones out."""
    import numpy as np

    for dataset in generator.datasets:
        path = folder / f"{dataset.id}_states.npy"
        if not path.is_file() or len(np.load(path, mmap_mode="r")) != len(dataset.session):
            return False
    return True


def print_scores(summary: dict[str, Any]) -> None:
    """Print the scores of each split, and of each class on the frames held out."""
    line = "  {:<24}" + "{:>10}" * 6
    print(line.format("", "frames", "macro-F1", "accuracy", "edit", "F1@0.25", "F1@0.50"))
    for split, scores in summary["scores"].items():
        bouts = scores.get("segment_f1", {})
        cells = [scores.get(name) for name in ("macro_f1", "accuracy", "edit")]
        cells += [bouts.get("0.25"), bouts.get("0.50")]
        print(line.format(split, scores["frames"], *map(_cell, cells)))
    held_out = next((s for s in ("test", "val") if s in summary["scores"]), None)
    if held_out is None:
        return
    line = "  {:<24}" + "{:>10}" * 7
    print(f"  {held_out}, by class")
    head = ("frames", "precision", "recall", "F1", "AP", "true", "predicted")
    print(line.format("", *head) + "   bouts")
    for name, own in summary["scores"][held_out]["classes"].items():
        cells = [own[key] for key in ("precision", "recall", "f1", "average_precision")]
        counts = [f"{own[key]['bouts']:.0f}" for key in ("true_bouts", "predicted_bouts")]
        print(line.format(name[:24], own["frames"], *map(_cell, cells), *counts))


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
