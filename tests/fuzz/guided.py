"""Fuzz one reader, guided by the code that its inputs reach.

    python tests/fuzz/guided.py READER --seconds 3600

It needs atheris (``pip install ".[fuzz]"``; Linux). The inputs that reached something new are kept
in ``build/fuzz/READER/corpus`` and are where the next run begins; what broke the reader is in
``findings`` beside it, with the traceback. At the end it says how many inputs were tried, in how
many seconds of processor time, and how much of the functions that they entered they ran through.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENTED = ["daart_fast", "yaml", "pickle", "gzip", "zipfile", "sleap_io"]
COMPILED = ["daart_fast.features.kernels", "daart_fast.data.gather", "daart_fast.eval.smoothing",
            "daart_fast.eval.segments"]  # fmt: skip
LEAST_FILE, MEGABYTE = 4096, 2**20
#: What a reader may take: seconds for any input, and memory by the size of it.
MOST_SECONDS, LEAST_MEMORY, MOST_TIMES = 5.0, 64 * MEGABYTE, 1100  # gzip's best is 1032 to 1
#: Asking for more than this at once is a MemoryError.
ADDRESSES = 4 * 2**30


class Fuzzing:
    """One reader under ever new inputs, in this process, until its time is over."""

    def __init__(self, name: str, folder: Path, seconds: float) -> None:
        from targets import TARGETS

        self.target, self.folder, self.seconds = TARGETS[name], folder, seconds
        place = Path(tempfile.mkdtemp()) / "multi-0"
        place.mkdir()
        self.path = place / self.target.file
        self.n_inputs = self.n_taken = 0

    def __call__(self, data: bytes) -> None:
        from targets import check

        self.n_inputs += 1
        start = time.process_time()
        try:
            with limited_memory(len(data)):
                self.n_taken += check(self.target, self.path, data)
            spent = time.process_time() - start
            assert spent < MOST_SECONDS, f"it took {spent:.1f} s"
        except Exception as error:
            self.keep(data, error)
        if time.process_time() > self.seconds or self.n_inputs % 200 == 0:
            spent = time.process_time()
            counts = {"inputs": self.n_inputs, "taken": self.n_taken, "seconds": spent}
            new = self.folder / "counts.new"
            new.write_text(json.dumps(counts))
            new.replace(self.folder / "counts.json")
            if spent > self.seconds:
                os._exit(0)  # libFuzzer ends with its process alone

    def keep(self, data: bytes, error: Exception) -> None:
        """Keep the smallest input of each failure, by where it was raised."""
        raised: BaseException | None = error
        frames = []
        while raised is not None:  # an error that names no file: where that was raised
            frames = [*traceback.extract_tb(raised.__traceback__), *frames]
            raised = raised.__context__
        own = [frame for frame in frames if "/daart_fast/" in frame.filename]
        last = (own or list(frames))[-1]
        key = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        path = self.folder / "findings" / key
        if not path.exists() or path.stat().st_size > len(data):
            path.write_bytes(data)
            text = "".join(traceback.format_exception(error))
            path.with_name(f"{key}.txt").write_text(text, errors="replace")


@contextmanager
def limited_memory(n_bytes: int) -> Iterator[None]:
    """Fail if the process came to hold much more memory than a file of this size explains."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    before = resident("VmHWM")
    yield
    grown = resident("VmHWM") - before
    assert grown < LEAST_MEMORY + MOST_TIMES * n_bytes, f"it took {grown // MEGABYTE} MB"


def resident(which: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) * 1024


def fuzz(name: str, folder: Path, seconds: float) -> None:
    """Fuzz in this process; it ends here."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, exclude=COMPILED):
        import targets
    logging.disable()
    target = targets.TARGETS[name]
    corpus = folder / "corpus"
    with tempfile.TemporaryDirectory() as scratch:
        seeds = target.seeds(Path(scratch))
    for seed in seeds:
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    words = folder / "words"
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    fuzzing = Fuzzing(name, folder, seconds)
    for seed in seeds:  # what is imported and compiled at first use is no input's doing
        targets.check(target, fuzzing.path, seed)
    held = resident("VmSize") + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (held, held))
    options = [
        f"-artifact_prefix={folder / 'findings'}/",
        f"-max_len={max(LEAST_FILE, *(len(seed) + 512 for seed in seeds))}",
        "-rss_limit_mb=4096",
        "-timeout=3600",  # by the clock on the wall, in which this process may have to wait
        "-report_slow_units=3600",
    ]
    if target.words:
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, str(corpus)], fuzzing)
    atheris.Fuzz()


class Lines:
    """A trace function that notes which lines of the package's functions have run."""

    def __init__(self) -> None:
        self.ran: dict[CodeType, set[int]] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> Lines | None:
        code = frame.f_code
        if event == "call" and "/daart_fast/" not in code.co_filename:
            return None
        seen = self.ran.setdefault(code, set())
        if event == "line":
            seen.add(frame.f_lineno)
        return self

    def count(self) -> tuple[int, int]:
        """Lines that ran, and lines of the functions that they are in."""
        lines = {
            code: {line for *_, line in code.co_lines() if line and line != code.co_firstlineno}
            for code in self.ran
        }
        return (
            sum(len(self.ran[code] & own) for code, own in lines.items()),
            sum(map(len, lines.values())),
        )


def replay(name: str, folder: Path) -> None:
    """Run the corpus through the reader, and print the lines that it reaches and could reach."""
    import targets

    logging.disable()
    fuzzing = Fuzzing(name, folder, float("inf"))
    inputs = [path.read_bytes() for path in sorted((folder / "corpus").iterdir())]
    lines = Lines()
    sys.settrace(lines)
    for data in inputs:
        with suppress(Exception):
            targets.check(fuzzing.target, fuzzing.path, data)
    sys.settrace(None)
    print(*lines.count())


def run_child(arguments: list[str], log: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", __file__, *arguments]
    with open(log, "ab") as errors:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", help="a key of targets.TARGETS")
    parser.add_argument("--seconds", type=float, default=3600.0, help="of processor time")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--step", choices=("fuzz", "replay"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder: Path = options.folder / options.reader
    for part in ("corpus", "findings"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if options.step == "fuzz":
        fuzz(options.reader, folder, options.seconds)
    elif options.step == "replay":
        replay(options.reader, folder)
    else:
        report(options.reader, folder, options.seconds)


def report(name: str, folder: Path, seconds: float) -> None:
    """Fuzz in processes of their own, as one that crashes must not end it, and print the result."""
    spent, n_inputs, n_taken, n_ended = 0.0, 0, 0, 0
    while spent < seconds and n_ended < 20:
        counts_file = folder / "counts.json"
        counts_file.unlink(missing_ok=True)
        step = ["--step", "fuzz", "--seconds", str(seconds - spent), "--folder", str(folder.parent)]
        ended = run_child([name, *step], folder / "log")
        n_ended += ended.returncode != 0  # libFuzzer has kept the input
        counts = json.loads(counts_file.read_text()) if counts_file.exists() else {}
        spent += counts.get("seconds", 0.0)
        n_inputs += counts.get("inputs", 0)
        n_taken += counts.get("taken", 0)
    step = ["--step", "replay", "--folder", str(folder.parent)]
    reached, reachable = map(int, run_child([name, *step], folder / "log").stdout.split()[-2:])
    kept = [path for path in (folder / "findings").iterdir() if path.suffix != ".txt"]
    print(
        f"{name}: {n_inputs} inputs ({n_taken} taken) in {spent:.0f} s, {reached} of {reachable} "
        f"lines ({reached / max(reachable, 1):.0%}), {n_ended} crashes, {len(kept)} findings",
        flush=True,
    )


if __name__ == "__main__":
    main()
