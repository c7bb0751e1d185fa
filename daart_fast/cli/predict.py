"""Predict every frame of new sessions with a finished model.

For each session SESSION_states.npy (probabilities), SESSION_predictions.csv (frame, time, class,
probabilities) and SESSION_bouts.csv (class, start, stop, duration) are written. Features and
smoothing are those the model was trained with.

SESSION_record.json tells which model and inputs they are of: sessions that are done are left, those
whose model or inputs have changed are predicted again, and files that come from elsewhere, or were
edited, are replaced with --overwrite alone. A session that cannot be read is told of, and the
others go on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from daart_fast.cli.failures import Failures
from daart_fast.cli.options import count, folder_to_write, setting
from daart_fast.cli.records import Records, checksum_of_model
from daart_fast.cli.sessions import session_files
from daart_fast.errors import DataError

if TYPE_CHECKING:
    from daart_fast.api import Model

HELP = "predict new sessions with a finished model"
EXAMPLES = """
  daart-fast predict results/multi-0/dtcn/test/version_0 new_videos/*.csv
  daart-fast predict version_0 new_videos/ --output_dir predictions --jobs 4
  daart-fast predict version_0 new_videos/ --executor slurm --jobs 8 --sbatch="--time=60"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model_dir", type=Path, help="the model's version_N folder")
    parser.add_argument("files", type=Path, nargs="+", help="the sessions' inputs, or folders")
    parser.add_argument(
        "--output_dir",
        type=folder_to_write,
        default=Path(),
        help="where to write (the current folder)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="predict sessions again that are done, and replace files of other origin",
    )
    parser.add_argument(
        "--fps", type=setting("fps"), help="frames a second, for times (the model's)"
    )
    parser.add_argument(
        "--executor", choices=("local", "slurm"), default="local", help="here, or as Slurm jobs"
    )
    parser.add_argument(
        "--jobs", type=count, default=1, help="how many processes, or Slurm jobs, to share it over"
    )
    parser.add_argument("--sbatch", default="", help="slurm: options of sbatch, as '--time=60'")


def run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from daart_fast.files import spare_inputs

    sessions = session_files(options.files)
    _model.cache_clear()
    _model(options.model_dir)  # what is wrong with it is told before any session is read
    records = Records(options.output_dir, checksum_of_model(options.model_dir), options.fps)
    open_ones = {
        name: file
        for name, file in sessions.items()
        if options.overwrite or not records.is_done(name, file)
    }
    spare_inputs((path for name in open_ones for path in records.outputs(name)), sessions.values())
    if not options.overwrite:
        records.check_free(open_ones)
    if len(open_ones) < len(sessions):
        print(f"{len(sessions) - len(open_ones)} sessions are done already (--overwrite)")
    if options.executor == "slurm":
        _submit(options, list(open_ones.values()))
        return 0
    if not open_ones:
        return 0
    work = partial(_predict, options.model_dir, records)
    ended = _several(work, list(open_ones.items()), options.jobs)
    failures = Failures()
    # disable=None: no bar where the output is no terminal
    with tqdm(total=len(open_ones), unit="session", disable=None) as bar:
        for name, told in zip(open_ones, ended, strict=True):
            with bar.external_write_mode():
                if isinstance(told, DataError):
                    failures.add(name, told)
                else:
                    print(told, flush=True)
            bar.update()
    return failures.exit_code(len(open_ones))


def _several(
    work: Callable[[tuple[str, Path]], str | DataError],
    sessions: Sequence[tuple[str, Path]],
    n_processes: int,
) -> Iterator[str | DataError]:
    """Work on several sessions at a time; yield what it returns for each, in their order.

    Threads share the network's work; reading and writing csv takes longer than that, and keeps a
    process to one core.
    """
    import torch

    from daart_fast.models.several import several_at_a_time

    n_processes = min(n_processes, len(sessions))
    if n_processes <= 1:
        yield from several_at_a_time(work, sessions)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    n_threads = max(1, torch.get_num_threads() // n_processes)
    with ProcessPoolExecutor(
        n_processes,
        multiprocessing.get_context("spawn"),  # a process with threads must not be forked
        initializer=torch.set_num_threads,
        initargs=(n_threads,),
    ) as processes:
        yield from processes.map(work, sessions)


@cache
def _model(folder: Path) -> Model:
    """Load a model once in each process."""
    from daart_fast.api import Model

    return Model.from_dir(folder)


def _predict(model_dir: Path, records: Records, session: tuple[str, Path]) -> str | DataError:
    """Predict one session, and return a line that says so, or what is wrong with its inputs."""
    try:
        return _predict_and_write(model_dir, records, session)
    except DataError as error:
        return error


def _predict_and_write(model_dir: Path, records: Records, session: tuple[str, Path]) -> str:
    import numpy as np

    from daart_fast.eval import smoother_of, write_bouts, write_predictions
    from daart_fast.files import replacing

    model, (name, file) = _model(model_dir), session
    origin = records.origin(file)  # of the inputs as they are before they are read
    states = model.predict(file, sess_id=name)
    names = model.config.get("label_names") or [f"class_{i}" for i in range(states.shape[1])]
    fps = records.fps or model.config.get("fps")
    classes = smoother_of(model.model_dir, model.config)(states)
    with records.writing(name, origin) as outputs:
        write_predictions(outputs.predictions, states, classes, names, fps)
        write_bouts(outputs.bouts, classes, names, fps)
        with replacing(outputs.states) as temporary:
            np.save(temporary, states)
    return f"{file}: {len(states)} frames, {states.shape[1]} classes"


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
        command += [file.absolute() for file in share]
        command += ["--overwrite"] if options.overwrite else []
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
