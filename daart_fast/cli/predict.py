"""Predict every frame of new sessions with a finished model.

For each session SESSION_states.npy (probabilities), SESSION_predictions.csv (frame, time, class,
probabilities) and SESSION_bouts.csv (class, start, stop, duration) are written, and for all of them
time_budget.csv: a row for each session and behaviour. Features and smoothing are those of the
model's training. 'daart-fast report' and 'daart-fast evaluate' take the folder that is written.

SESSION_record.json holds which model and inputs the files are of. Sessions that are done are left;
those whose model or inputs have changed are predicted again. Files of another origin, and files
that you edited, are replaced only with --overwrite.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daart_fast.cli.failures import Failures
from daart_fast.cli.options import count, folder_to_write, setting, slurm_settings
from daart_fast.cli.progress import FrameProgress
from daart_fast.cli.records import (
    FolderFiles,
    Records,
    SessionFacts,
    checksum_of_model,
    predicted_in,
)
from daart_fast.cli.sessions import model_folder, session_files
from daart_fast.errors import DataError
from daart_fast.files import checksum_of, refuse_overwriting_inputs, replacing

if TYPE_CHECKING:
    import numpy as np

    from daart_fast.api import Model

HELP = "predict new sessions with a finished model"
EXAMPLES = """
  daart-fast predict results/multi-0/dtcn/test/version_0 new_videos/*.csv --output_dir predictions
  daart-fast report predictions
  daart-fast predict version_0 new_videos/ --output_dir predictions --jobs 4
  daart-fast predict version_0 new_videos/ --executor slurm --jobs 8 --slurm "{time: 60}"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model_dir", type=Path, help="the model's version_N folder, or one above it"
    )
    parser.add_argument(
        "files", type=Path, nargs="+", help="the sessions' inputs, folders of them, or projects"
    )
    parser.add_argument(
        "--output_dir",
        type=folder_to_write,
        metavar="DIR",
        default=Path(),
        help="where to write (the current folder)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="predict sessions again that are done, and replace files of another origin",
    )
    parser.add_argument(
        "--fps",
        type=setting("fps"),
        metavar="RATE",
        help="frames a second, for times (the model's)",
    )
    parser.add_argument(
        "--executor", choices=("local", "slurm"), default="local", help="here, or as Slurm jobs"
    )
    parser.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        default=1,
        help="how many processes, or Slurm jobs, to share it over",
    )
    parser.add_argument(
        "--slurm",
        type=slurm_settings,
        metavar="SETTINGS",
        default={},
        help="what a job asks Slurm for, as in a config: '{partition: gpu, time: 60}'",
    )
    # a Slurm job does a share: other jobs write to the same folder
    parser.add_argument("--share", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    _model.cache_clear()
    options.model_dir = model_folder(options.model_dir)
    config = _model(options.model_dir).config  # what is wrong with it comes before any session
    sessions = session_files(options.files, config["input_type"])
    if options.executor == "slurm":
        _submit(options, list(_open_ones(options, sessions).values()))
        return 0
    code = predict_sessions(options, sessions)
    if not options.share and predicted_in(options.output_dir):
        print(f"next: daart-fast report {shlex.quote(str(options.output_dir))}")
    return code


def predict_sessions(options: argparse.Namespace, sessions: dict[str, Path]) -> int:
    """Predict the sessions that are not done, and say how it went; return the exit code.

    Parameters
    ----------
    options
        ``model_dir``, ``output_dir``, ``overwrite``, ``fps``, ``jobs`` and ``share`` of the command
    sessions
        each session's inputs
    """
    open_ones, failures = _open_ones(options, sessions), Failures()
    records = _records(options)
    processes = min(options.jobs, len(open_ones))
    with _naming_what_is_done(options, open_ones), FrameProgress(len(open_ones)) as progress:
        # a process cannot show its frames in another's terminal
        moving = progress if processes <= 1 else None
        work = partial(_predict, options.model_dir, records, moving)
        ended = _several(work, list(open_ones.items()), processes)
        for name, result in zip(open_ones, ended, strict=True):
            if isinstance(result, DataError):
                failures.add(name, result)
            else:
                progress.update(name, result.frames, result.frames)
                progress.line(result.text)
    if not options.share:
        _write_time_budget(options.output_dir, records)
    return failures.exit_code(len(open_ones))


@contextmanager
def _naming_what_is_done(options: argparse.Namespace, sessions: dict[str, Path]) -> Iterator[None]:
    """Say, after Ctrl-C, how many sessions are done, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        records = _records(options)
        done = sum(records.is_done(name, file) for name, file in sessions.items())
        how = "the same command" + " without --overwrite" * options.overwrite
        print(
            f"stopped: {done} of {len(sessions)} sessions are done; {how} goes on with the rest",
            file=sys.stderr,
        )
        raise


def _records(options: argparse.Namespace) -> Records:
    return Records(options.output_dir, checksum_of_model(options.model_dir), options.fps)


def _open_ones(options: argparse.Namespace, sessions: dict[str, Path]) -> dict[str, Path]:
    """Return the sessions that are to be predicted; refuse to write over what is not predict's."""
    from daart_fast.eval.time_budget import TIME_BUDGET

    records, files = _records(options), FolderFiles(options.output_dir)
    open_ones = {
        name: file
        for name, file in sessions.items()
        if options.overwrite or not records.is_done(name, file)
    }
    outputs = [path for name in open_ones for path in records.outputs(name)]
    refuse_overwriting_inputs([*outputs, options.output_dir / TIME_BUDGET], sessions.values())
    if not options.overwrite:
        records.check_free(open_ones)
        if not options.share:
            files.check_free([TIME_BUDGET])
    if len(open_ones) < len(sessions):
        print(f"{len(sessions) - len(open_ones)} sessions are done already (--overwrite)")
    return open_ones


def _write_time_budget(folder: Path, records: Records) -> None:
    """Write the time budgets of all sessions in a folder that this model has predicted."""
    from daart_fast.eval.time_budget import TIME_BUDGET, write_time_budget

    every = predicted_in(folder)
    ours = [one for one in every if one.origin.model == records.model]
    if not ours:
        return
    write_time_budget(folder / TIME_BUDGET, {one.session: one.facts.contents for one in ours})
    FolderFiles(folder).record([TIME_BUDGET])
    frames = sum(one.facts.contents["frames"] for one in ours)
    print(f"{len(ours)} sessions, {frames} frames; time budgets in {folder / TIME_BUDGET}")
    if n_left := len(every) - len(ours):
        print(f"without {n_left} sessions there that another model, or this one before, predicted")


class Done(NamedTuple):
    """What is said of a session that is predicted."""

    text: str
    frames: int


def _several(
    work: Callable[[tuple[str, Path]], Done | DataError],
    sessions: Sequence[tuple[str, Path]],
    n_processes: int,
) -> Iterator[Done | DataError]:
    """Work on several sessions at a time; yield what it returns for each, in their order.

    Threads share the network's work; reading and writing csv takes longer than that, and keeps a
    process to one core.
    """
    import torch

    from daart_fast.models.several import parallel_map

    if n_processes <= 1:
        yield from parallel_map(work, sessions)
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


def _predict(
    model_dir: Path, records: Records, progress: FrameProgress | None, session: tuple[str, Path]
) -> Done | DataError:
    """Predict one session, and return a line that says so, or what is wrong with its inputs."""
    try:
        return _predict_and_write(model_dir, records, progress, session)
    except DataError as error:
        return error


def _predict_and_write(
    model_dir: Path, records: Records, progress: FrameProgress | None, session: tuple[str, Path]
) -> Done:
    import numpy as np

    from daart_fast.eval import smoother_of, write_bouts, write_predictions
    from daart_fast.readers.inputs import first_frame

    model, (name, file) = _model(model_dir), session
    origin = records.origin(file)  # of the inputs as they are before they are read
    states = model.predict(
        file, sess_id=name, progress=None if progress is None else partial(progress.update, name)
    )
    names = model.config.get("label_names") or [f"class_{i}" for i in range(states.shape[1])]
    fps = records.fps or model.config["fps"]
    classes = smoother_of(model.model_dir, model.config)(states)
    first = int(first_frame(file) or 0)
    facts = _facts_of(model, session, classes, names, fps, first)
    with records.writing(name, origin, facts) as outputs:
        write_predictions(outputs.predictions, states, classes, names, fps, first)
        write_bouts(outputs.bouts, classes, names, fps, first)
        with replacing(outputs.states) as temporary:
            np.save(temporary, states)
    return Done(f"{file}: {len(states)} frames", len(states))


def _facts_of(
    model: Model,
    session: tuple[str, Path],
    classes: np.ndarray,
    names: Sequence[str],
    fps: float | None,
    first_frame: int,
) -> SessionFacts:
    """Return what `evaluate` and `report` need to know of a session that is predicted."""
    from daart_fast.eval import describe_session
    from daart_fast.eval.new_sessions import role_of

    name, file = session
    assert model.model_dir is not None
    return SessionFacts(
        model_dir=str(model.model_dir.absolute()),
        inputs_checksum=checksum_of(file),
        fps=fps,
        contents={
            "split": role_of(model.config, name),
            **describe_session(classes, names, fps, first_frame=first_frame),
        },
    )


def _submit(options: argparse.Namespace, files: list[Path]) -> None:
    """Submit jobs that each run this command on their share of the files."""
    from daart_fast.search.slurm import executor_of
    from daart_fast.search.slurm_job import CommandRun

    folder = options.output_dir.absolute()
    command = ["predict", "--share", "--output_dir", folder, options.model_dir.absolute()]
    command += ["--overwrite"] if options.overwrite else []
    command += ["--fps", options.fps] if options.fps else []
    n_jobs = min(options.jobs, len(files))
    shares = [[file.absolute() for file in files[i::n_jobs]] for i in range(n_jobs)]
    if shares:
        executor = executor_of(options.slurm, folder / "jobs")
        jobs = executor.map_array(CommandRun(), [[*command, *share] for share in shares])
        for job, share in zip(jobs, shares, strict=True):
            print(f"job {job.job_id}: {len(share)} sessions", flush=True)
    print(
        f"when the jobs have ended, this writes the time budgets and a report: "
        f"daart-fast report {shlex.quote(str(folder))}"
    )
