"""Predict every frame of new sessions with a finished model.

For each session SESSION_states.npy (probabilities), SESSION_predictions.csv (frame, time, class,
probabilities) and SESSION_bouts.csv (class, start, stop, duration) are written. Features and
smoothing are those the model was trained with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daart_fast.cli.sessions import session_files
from daart_fast.errors import DataError

HELP = "predict new sessions with a finished model"
EXAMPLES = """
  daart-fast predict results/multi-0/dtcn/test/version_0 new_videos/*.csv
  daart-fast predict version_0 new_videos/ --output_dir predictions
  daart-fast predict version_0 new_videos/ --executor slurm --jobs 8 --sbatch="--time=60"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model_dir", type=Path, help="the model's version_N folder")
    parser.add_argument("files", type=Path, nargs="+", help="the sessions' inputs, or folders")
    parser.add_argument(
        "--output_dir", type=Path, default=Path(), help="where to write (the current folder)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="predict sessions again that are done"
    )
    parser.add_argument("--fps", type=float, help="frames a second, where the model has none")
    parser.add_argument(
        "--executor", choices=("local", "slurm"), default="local", help="here, or as Slurm jobs"
    )
    parser.add_argument("--jobs", type=int, default=1, help="slurm: how many jobs to share it over")
    parser.add_argument("--sbatch", default="", help="slurm: options of sbatch, as '--time=60'")


def run(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from daart_fast.api import Model
    from daart_fast.models.several import several_at_a_time

    sessions = session_files(options.files)
    open_ones = {
        name: file
        for name, file in sessions.items()
        if options.overwrite or not _is_done(options.output_dir, name)
    }
    if len(open_ones) < len(sessions):
        print(f"{len(sessions) - len(open_ones)} sessions are done already (--overwrite)")
    if options.executor == "slurm":
        _submit(options, list(open_ones.values()))
        return
    if not open_ones:
        return
    model = Model.from_dir(options.model_dir)

    def predict(session: tuple[str, Path]) -> str:
        return f"{session[1]}: {_predict(model, *session, options)}"

    told = several_at_a_time(predict, list(open_ones.items()))
    # disable=None: no bar where the output is no terminal
    for line in tqdm(told, total=len(open_ones), unit="session", disable=None):
        tqdm.write(line)
        sys.stdout.flush()


def _is_done(folder: Path, session: str) -> bool:
    """The states are written last."""
    return (folder / f"{session}_states.npy").is_file()


def _predict(model, session: str, file: Path, options: argparse.Namespace) -> str:  # type: ignore[no-untyped-def]
    import numpy as np

    from daart_fast.eval import smoother_of, write_bouts, write_predictions
    from daart_fast.files import replacing

    states = model.predict(file, sess_id=session)
    names = model.config.get("label_names") or [f"class_{i}" for i in range(states.shape[1])]
    fps = options.fps or model.config.get("fps")
    classes = smoother_of(model.model_dir)(states)
    folder = options.output_dir
    write_predictions(folder / f"{session}_predictions.csv", states, classes, names, fps)
    write_bouts(folder / f"{session}_bouts.csv", classes, names, fps)
    with replacing(folder / f"{session}_states.npy") as temporary:
        np.save(temporary, states)
    return f"{len(states)} frames, {states.shape[1]} classes"


def _submit(options: argparse.Namespace, files: list[Path]) -> None:
    """Submit jobs that each run this command on their share of the files."""
    import shlex
    import shutil
    import subprocess

    if shutil.which("sbatch") is None:
        raise DataError("--executor slurm needs the command sbatch, which is not on the PATH")
    n_jobs = max(1, min(options.jobs, len(files)))
    for share in (files[i::n_jobs] for i in range(n_jobs) if files):
        command = [sys.executable, "-m", "daart_fast.cli", "predict", options.model_dir.absolute()]
        command += [*(file.absolute() for file in share), "--overwrite"]
        command += ["--output_dir", options.output_dir.absolute()]
        command += ["--fps", options.fps] if options.fps else []
        done = subprocess.run(
            ["sbatch", "--job-name=daart-fast", *shlex.split(options.sbatch), "--wrap",
             shlex.join(map(str, command))],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise DataError(f"sbatch: {(done.stderr or done.stdout).strip()}")
        print(f"{done.stdout.strip()}: {len(share)} sessions", flush=True)
