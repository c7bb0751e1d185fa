"""A search: its trials, run wherever they are to run, and what is printed at the end.

``examples/fit_models.py`` and daart's scripts come here through ``optimize_parallel_cpu`` and
``optimize_parallel_gpu``, Python callers through `fit_models`.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daart_fast.config import check_name, split_ids
from daart_fast.errors import ConfigError, some
from daart_fast.experiment.folders import get_expt_dir
from daart_fast.experiment.notes import leave_note
from daart_fast.experiment.stored import CHECKPOINT
from daart_fast.experiment.versions import claim_number
from daart_fast.machine import check_device
from daart_fast.search import summary
from daart_fast.search.display import Display
from daart_fast.search.local import (
    WorkerSlot,
    environment,
    run_in_pool,
    run_in_process,
    slots_on_cpu,
    spawn_problem,
)
from daart_fast.search.slurm import on_slurm
from daart_fast.search.trials import (
    FAILED,
    Ended,
    Events,
    Job,
    Outcome,
    folds,
    label_of,
    look_up,
    loss_settings,
    searched_keys,
)

__all__ = ["Options", "Search", "run_trials"]

#: What happened to a trial that another call of the same search has done, for the table.
BEFORE = {"finished": "finished before", "failed": "failed before", "interrupted": "resumed"}

#: Keys that decide which frames of a session validate.
FRAME_KEYS = ("sequence_length", "trial_splits", "rng_seed_train")


@dataclass(frozen=True)
class Options:
    """How a search is run.

    Attributes
    ----------
    executor
        ``"local"`` or ``"slurm"``.
    slurm
        The ``slurm:`` part of the config.
    dry_run
        Print the table of trials and run none.
    retry_failed
        Run trials again that failed in an earlier call. (A single trial is, without it.)
    wait
        slurm: wait for the jobs to end, and show how they fare.
    skip_known
        local: leave out the trials that an earlier call has finished, or that failed in it. Else
        the function gets them too, and its result says what it made of them.
    """

    executor: str = "local"
    slurm: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    retry_failed: bool = False
    wait: bool = True
    skip_known: bool = True


class Search:
    """The trials of a search, and what became of each.

    Attributes
    ----------
    trials : list
        The trials, folds of a cross-validation among them.
    keys : list of str
        The keys whose values are searched over.
    outcomes : dict
        From a trial's number, counted from 1, to its `Outcome`.
    folder : Path or None
        Where the summary, the picture and the trials' output are; None for a single trial.
    """

    def __init__(self, trials: Sequence[Any], options: Options = Options()) -> None:
        self.options = options
        self.trials = folds(trials)
        self.keys = searched_keys(self.trials)
        self.outcomes: dict[int, Outcome] = {}
        self.folder: Path | None = None
        self.jobs = [
            Job(number, trial, label_of(trial, self.keys))
            for number, trial in enumerate(self.trials, start=1)
        ]

    @property
    def results(self) -> list[tuple[Any, Any]]:
        """Each trial with what the function returned; None where it failed."""
        nothing = Outcome("interrupted")
        return [(job.trial, self.outcomes.get(job.number, nothing).result) for job in self.jobs]

    @property
    def failed(self) -> list[int]:
        """The numbers of the trials that failed, now or (and were left alone) before."""
        return [n for n, outcome in sorted(self.outcomes.items()) if outcome.status == "failed"]

    @property
    def best(self) -> summary.Row | None:
        """The finished trial with the best score; None where there is none.

        Of a cross-validation: the best fold of the best setting. Its model has not seen the
        sessions of that fold; its `settings` are what to train with on all of them.
        """
        rows = self.rows()
        found = summary.score_of(rows, self._cross_validated)
        if found is None:
            return None
        score, more = found
        if self._cross_validated:
            line = summary.best_setting(summary.settings_table(rows, score), more)
            rows = [row for row in rows if row.setting.items() <= line.items()]
        return summary.best_of(rows, score, more)

    # ------------------------------------------------------------------------- running

    def run(self, function: Callable[..., Any], slots: Sequence[WorkerSlot]) -> None:
        """Run the trials that are not finished; show how they fare; write the summary.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C was pressed: the trials then running can be resumed.
        """
        jobs = self._to_run()
        self._say_who_is_compared()
        self._say_who_is_never_held_out()
        if self.options.dry_run:
            self._print_table(slots)
            return
        if len(self.jobs) > 1:
            self._check_devices(jobs, slots)
            self._claim_folder()
        events = self._execute(function, jobs, slots)
        quiet = len(self.jobs) == 1 or all(job.log is None for job in jobs)
        display = Display(jobs, len(self.jobs), quiet=quiet)
        interrupted = False
        try:
            with closing(events), closing(display):
                for event in events:
                    if isinstance(event, Ended):
                        self.outcomes[event.number] = event.outcome
                    if len(self.jobs) > 1:
                        display.show(event)
        except KeyboardInterrupt:
            interrupted = True
        if self.folder is not None:
            self._report()
        if interrupted:
            self._say_what_is_left()
            raise KeyboardInterrupt

    @property
    def _retries_failed(self) -> bool:
        """Whether trials that failed in another call are run again: a single one always is.

        A search is called again to go on with what is left of it, and a failure may take its time;
        there is nothing else that calling a single training again could mean.
        """
        return self.options.retry_failed or len(self.jobs) == 1

    def _to_run(self) -> list[Job]:
        """Choose the trials to run; the others' outcomes are known."""
        alone = len(self.jobs) == 1 or not self.options.skip_known
        if alone and self.options.executor == "local":
            return self.jobs  # what became of them before, the function finds out
        left_alone = {"finished"} if self._retries_failed else {"finished", "failed"}
        jobs: list[Job] = []
        looked_at = set()  # data folders
        for job in self.jobs:
            known = look_up(job.trial)
            if known.state not in left_alone:
                jobs.append(job)
                continue
            folder = str(known.folder)
            result = folder if known.state == "finished" else None
            self.outcomes[job.number] = Outcome(known.state, result, known.error, folder)
            data_dir = getattr(job.trial, "data_dir", None)
            if result is not None and data_dir not in looked_at:
                from daart_fast.experiment.newer_data import tell_of_newer_data

                looked_at.add(data_dir)
                tell_of_newer_data(vars(job.trial), Path(result))
        return jobs

    def _check_devices(self, jobs: Sequence[Job], slots: Sequence[WorkerSlot]) -> None:
        """Refuse GPUs that are not here, before any trial (a single one finds out itself)."""
        if self.options.executor == "local" and jobs and hasattr(jobs[0].trial, "device"):
            for slot in slots[: len(jobs)]:
                with environment(slot.environment):
                    check_device(vars(jobs[0].trial))

    def _claim_folder(self) -> None:
        """Make the search's own folder, and tell each trial that it belongs to it."""

        hparams = vars(self.trials[0])
        if not {"results_dir", "expt_ids"} <= hparams.keys():
            return
        name = check_name(hparams["tt_experiment_name"], "an experiment name", nested=True)
        parent = Path(get_expt_dir(hparams["results_dir"], hparams["expt_ids"])) / "searches" / name
        self.folder = claim_number(parent, "search_")
        losses = [loss_settings(trial) for trial in self.trials]
        for job in self.jobs:
            job.log = self.folder / f"trial_{job.number:0{len(str(len(self.jobs)))}}.log"
            # trials whose losses can be compared share a folder
            notes = self.folder / "folders" / str(losses.index(loss_settings(job.trial)))
            job.trial.search_notes, job.trial.search_trial = str(notes), job.number
            known = self.outcomes.get(job.number)
            if known is not None and known.folder:
                leave_note(notes, job.number, known.folder, ended=known.status == "finished")

    def _execute(
        self, function: Callable[..., Any], jobs: list[Job], slots: Sequence[WorkerSlot]
    ) -> Events:
        if self.options.executor == "slurm":
            folder = self.folder or self._single_folder()
            # a job's GPU is its first, whatever its number is on the node
            arguments = ("0",) if slots[0].arguments else ()
            return on_slurm(
                function, jobs, self.options.slurm, folder, self.options.wait, arguments
            )
        reason = spawn_problem(function) if len(self.jobs) > 1 else "there is one trial"
        if reason:
            if len(self.jobs) > 1:
                print(f"trials run in this process, one after another: {reason}", file=sys.stderr)
            for job in jobs:
                job.log = None
            return run_in_process(function, jobs, slots[0])
        return run_in_pool(function, jobs, slots)

    # ------------------------------------------------------------------------- telling

    def _say_who_is_compared(self) -> None:
        """Say so where search_pruning can compare a trial with some of the others alone."""
        pruned = [trial for trial in self.trials if getattr(trial, "search_pruning", None)]
        losses = [loss_settings(trial) for trial in pruned]
        keys = [name for name in self.keys if any(name in of_trial for of_trial in losses)]
        if not set(keys) - {"search_fold"}:
            return
        names = ", ".join(name.removeprefix("search_") for name in keys)
        message = f"search_pruning compares trials of the same {names}: other losses do not compare"
        if max(losses.count(of_trial) for of_trial in losses) < 3:
            message += ". No trial has two others to be compared with, so none is stopped"
        print(message, file=sys.stderr)

    def _say_who_is_never_held_out(self) -> None:
        """Name the sessions that cross-validation leaves out, having nothing to score."""
        if not self._cross_validated:
            return
        held_out = {
            session
            for trial in self.trials
            for ids in (trial.expt_ids_val, trial.expt_ids_test)
            for session in split_ids(ids)
        }
        never = [name for name in split_ids(self.trials[0].expt_ids) if name not in held_out]
        if always := self._always_held_out():
            print(
                f"held out of every fold, for a score after settings are chosen: {some(always)} "
                "(expt_ids_test)",
                file=sys.stderr,
            )
        if never:
            reason = "held out in no fold, as they have no hand labels in use"
            print(f"{reason} (they train all the same): {some(never)}", file=sys.stderr)

    @property
    def _cross_validated(self) -> bool:
        return any(hasattr(trial, "search_fold") for trial in self.trials)

    def rows(self) -> list[summary.Row]:
        """Return the lines of the summary."""
        rows = []
        for job in self.jobs:
            outcome = self.outcomes.get(job.number, Outcome("interrupted"))
            folder = outcome.folder
            if folder is None and (found := look_up(job.trial)).state != "new":
                folder = str(found.folder)  # its process was killed, and could not say
            held_out = self._held_out(job.trial)
            settings = {name: vars(job.trial).get(name) for name in self.keys}
            row = summary.read_row(job.number, outcome.status, settings, folder, held_out)
            row.results |= {
                "place": outcome.place,
                "began": round(outcome.began, 3) or None,
                "ended": round(outcome.ended, 3) if outcome.began else None,
                "error": outcome.error,
            }
            rows.append(row)
        return rows

    def _held_out(self, trial: Any) -> list[str]:
        """Name the sessions of a trial's fold (and not those that every trial holds out)."""
        if not hasattr(trial, "search_fold"):
            return []
        always = self._always_held_out()
        return [session for session in split_ids(trial.expt_ids_test) if session not in always]

    def _always_held_out(self) -> list[str]:
        """Name the sessions that every trial holds out."""
        first, *rest = (split_ids(trial.expt_ids_test) for trial in self.trials)
        return [session for session in first if all(session in ids for ids in rest)]

    def _report(self) -> None:
        """Write the summary and the picture; name the best trial and those that failed."""
        assert self.folder is not None
        rows = self.rows()
        table = self.folder / "search_summary.csv"
        summary.write_table(table, [row.cells() for row in rows])
        counts = [row.status for row in rows]
        outcomes = ", ".join(f"{counts.count(s)} {s}" for s in dict.fromkeys(counts))
        print(f"{len(rows)} trial{'s' * (len(rows) > 1)}: {outcomes}\nsummary: {table}")
        for number in self.failed:
            job, outcome = self.jobs[number - 1], self.outcomes[number]
            where = job.log
            if where is None or not where.exists():  # it failed in another call, or in this process
                where = Path(outcome.folder or "") / FAILED
            label = f" ({job.label})" if job.label else ""
            print(f"trial {number}{label} failed: {outcome.error}\n    see {where}")
        if self.failed and not self._retries_failed:
            print("(--retry_failed runs failed trials again)")
        score = summary.score_of(rows, self._cross_validated)
        self._say_where_frames_differ()
        self._say_what_scores_lack(rows, score and score[0])
        if score:
            self._report_best(rows, *score)

    def _say_where_frames_differ(self) -> None:
        """Say that a difference in scores may be one of the frames that were scored."""
        keys = [name for name in FRAME_KEYS if name in self.keys]
        if keys and not self._cross_validated and not getattr(self.trials[0], "expt_ids_val", None):
            print(
                f"with another {', '.join(keys)} other frames were validated, so that scores are "
                "not quite comparable (with expt_ids_val, whole sessions, they are)"
            )

    def _say_what_scores_lack(self, rows: list[summary.Row], score: str | None) -> None:
        """Say why trials are compared by another score than the first, or by none."""
        finished = [row.number for row in rows if row.status == "finished"]
        for name in summary.HELD_OUT_SCORES if self._cross_validated else summary.SCORES:
            if name == score or not finished:
                return
            lacking = summary.without(rows, name)
            whose = "no trial has any"
            if lacking != finished:
                whose = f"there is none of trial {some([str(number) for number in lacking])}"
            print(f"trials are not compared by {name}: {whose}")
        print("so none of them is named the best")

    def _report_best(self, rows: list[summary.Row], score: str, more: bool) -> None:
        assert self.folder is not None
        if self.keys:
            formats = getattr(self.trials[0], "picture_format", "png")
            for picture in summary.draw(self.folder / "search_summary", rows, score, formats):
                print(f"picture: {picture}")
        if self._cross_validated:
            self._report_folds(rows, score, more)
            return
        best = summary.best_of(rows, score, more)
        label = self.jobs[best.number - 1].label
        label = f" ({label})" if label else ""
        print(f"best: trial {best.number}{label}, {score} {best.number_of(score):.4g}")
        if (f1 := best.results.get("test_f1")) is not None:
            print(f"its macro-F1 on held-out frames, by which it was not chosen: {f1:.4g}")
        print(f"the model is in {best.folder}")
        folder = shlex.quote(str(best.folder))
        print(f"predict with it: daart-fast predict {folder} NEW_SESSIONS...", flush=True)

    def _report_folds(self, rows: list[summary.Row], score: str, more: bool) -> None:
        assert self.folder is not None
        table = summary.settings_table(rows, score)
        path = self.folder / "search_settings.csv"
        summary.write_table(path, table)
        keys = [name for name in self.keys if name != "search_fold"]
        words = [", ".join(f"{name}={line[name]}" for name in keys) or "all" for line in table]
        name = {"test_f1": "macro-F1", "test_loss": "loss"}.get(score, score)
        single = all(len(self._held_out(trial)) == 1 for trial in self.trials)
        kind = "leave-one-session-out" if single else "cross-validation"
        print(f"{kind}, {name} on held-out videos (never trained on) ({path}):")
        if single and not keys:
            for row in rows:
                if row.status == "finished":
                    session = self._held_out(self.trials[row.number - 1])[0]
                    print(f"  {session}: {row.number_of(score):.3f}")
        for setting, line in zip(words, table, strict=True):
            print(f"  {setting}: {_in_words(line)}")
        best = summary.best_setting(table, more)
        fewer = [w for w, line in zip(words, table, strict=True) if line["folds"] < best["folds"]]
        if fewer:
            print(f"with fewer folds, and so not compared: {some(fewer)}")
        changes = {name: best[name] for name in keys}
        changes |= {"cv_folds": "null", "leave_one_session_out": "false"}
        options = [f"--{name} {shlex.quote(str(value))}" for name, value in changes.items()]
        which = "the best setting" if keys else "a model"
        print(f"{which}, trained on all of these videos: the same command with", *options)
        sys.stdout.flush()

    def _say_what_is_left(self) -> None:
        ended = [one for one in self.outcomes.values() if one.status != "interrupted"]
        left = len(self.jobs) - len(ended)
        if self.options.executor == "slurm":
            print(f"{left} jobs go on without this command (scancel ends them)", file=sys.stderr)
        elif len(self.jobs) > 1:
            print(
                f"stopped: {left} trials are left. The same command goes on with them, those that "
                "were running from their last checkpoints",
                file=sys.stderr,
            )
        elif outcome := self.outcomes.get(1):
            if outcome.folder and (Path(outcome.folder) / CHECKPOINT).is_file():
                how = f"the same command goes on from the checkpoint in {outcome.folder}"
            else:
                how = "there is no checkpoint yet, so the same command begins again"
            print(f"stopped: {how}", file=sys.stderr)

    def _print_table(self, slots: Sequence[WorkerSlot]) -> None:
        """Print each trial, and where it would go."""
        for job in self.jobs:
            known = look_up(job.trial)
            state = BEFORE.get(known.state, "new")
            if known.state == "failed" and self._retries_failed:
                state = "retried"
            where = f"{known.folder}{os.sep}version_N" if known.state == "new" else known.folder
            print(f"trial {job.number}: {job.label or 'all settings are single values'}")
            print(f"    {state}: {where}")
        if self.options.executor == "slurm":
            asked = ", ".join(f"{name} {value}" for name, value in self.options.slurm.items())
            print(f"each as a job of one array on Slurm ({asked or 'nothing asked for'})")
        else:
            names = [f"{slot.name} ({slot.n_threads} threads)" for slot in slots]
            print(f"at once: {', '.join(names[: len(self.jobs)])}")
        print(f"{len(self.jobs)} trials; nothing was run", flush=True)

    def _single_folder(self) -> Path:
        """Where Slurm's files go when there is one trial: the folder of a search of one."""
        self._claim_folder()
        if self.folder is None:
            raise ConfigError("executor 'slurm' needs trials with results_dir and expt_ids")
        return self.folder


def _in_words(line: Mapping[str, Any]) -> str:
    """Spell what a line of `summary.settings_table` says of its folds."""
    if line["mean"] is None:
        return "none finished (0 folds)"
    figures = [f"mean {line['mean']:.3f}"]
    if line["spread"] is not None:
        words = (("SD", "spread"), ("lowest", "lowest"), ("highest", "highest"))
        figures += [f"{word} {line[key]:.3f}" for word, key in words]
    return f"{', '.join(figures)} ({line['folds']} folds)"


def run_trials(
    function: Callable[..., Any],
    trials: Sequence[Any],
    slots: Sequence[WorkerSlot] | None = None,
    options: Options | None = None,
) -> Search:
    """Call a function with each trial, in the slots given, or one after another.

    A single trial runs in this process, several in worker processes, which must be able to import
    the function (functions of a script can be imported; ones defined inside others run in this
    process too). A trial that fails is reported with its traceback, and the other trials go on.

    Parameters
    ----------
    function
        Takes a trial, a namespace of all keys, and what its slot adds (a GPU's id).
    trials
        What test-tube has made of the config files.
    slots
        Where trials can run at the same time; one worker if None.
    options
        See `Options`.

    Returns
    -------
    Search
        Its `results` are what daart's scripts expect.
    """
    search = Search(trials, options or Options())
    search.run(function, slots or slots_on_cpu(1))
    return search
