"""Build features from tracked points and write them as csv files, one a session.

Training does this by itself with input_type: features-kinematic; the files are for a look at the
features, or for use elsewhere. A folder of them inside data_dir is an input_type too. Files that
are there already, and are others, are replaced with --overwrite alone. A session that cannot be
read is reported, and the other sessions go on.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daart_fast.cli.failures import Failures
from daart_fast.cli.options import folder_to_write, setting
from daart_fast.cli.sessions import session_files
from daart_fast.config import KEYS, KINEMATIC
from daart_fast.files import holds, refuse_overwriting, refuse_overwriting_inputs, replacing

if TYPE_CHECKING:
    from daart_fast.features import Kinematics

HELP = "build features from tracked points and write them as csv"
EXAMPLES = """
  daart-fast features data/markers --output_dir data/my-features
  daart-fast features data/markers --groups "speeds;egocentric" --axis "tail_base;nose" \\
      --windows "0.5;2" --fps 30 --output_dir data/my-features
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:

    parser.add_argument("files", type=Path, nargs="+", help="files of tracked points, or folders")
    parser.add_argument("--output_dir", type=folder_to_write, required=True, help="where to write")
    for name in ("groups", "windows", "axis"):
        key = KEYS[f"kinematic_{name}"]
        parser.add_argument(f"--{name}", default=key.default, help=key.help.split(": ", 1)[1])
    parser.add_argument("--fps", type=setting("fps"), help="frames a second")
    parser.add_argument(
        "--likelihood_threshold",
        type=setting("likelihood_threshold"),
        default=0.0,
        help="points less sure count as missing, and are interpolated",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that hold something else"
    )


def run(options: argparse.Namespace) -> int:
    from daart_fast.features import Kinematics

    hparams = {
        "input_type": KINEMATIC,
        "kinematic_groups": options.groups,
        "kinematic_windows": options.windows,
        "kinematic_axis": options.axis,
        "fps": options.fps,
    }
    kinematics = Kinematics.from_hparams(hparams)
    assert kinematics is not None
    files = session_files(options.files)
    outputs = {session: options.output_dir / f"{session}.csv" for session in files}
    refuse_overwriting_inputs(outputs.values(), files.values())
    build = partial(_features, kinematics, options.likelihood_threshold)
    done: dict[str, str] = {}  # sessions whose files hold just this already
    failures = Failures()
    if not options.overwrite:  # before any is written
        there = [session for session, path in outputs.items() if os.path.lexists(path)]
        foreign = []
        for session in there:
            with failures.going_on(session):
                content, metadata = build(files[session])
                if holds(outputs[session], content):
                    done[session] = metadata
                else:
                    foreign.append(outputs[session])
        refuse_overwriting(foreign, "one of the same features")
    for session, path in outputs.items():
        if session in failures.sessions:
            continue
        with failures.going_on(session):
            if session not in done:
                content, done[session] = build(files[session])
                if not holds(path, content):
                    with replacing(path) as temporary:
                        temporary.write_bytes(content)
            print(f"{path}: {done[session]}", flush=True)
    return failures.exit_code(len(outputs))


def _features(kinematics: Kinematics, threshold: float, file: Path) -> tuple[bytes, str]:
    """Return the features of a session as csv, and how many there are in words."""
    import pandas as pd

    from daart_fast.readers.inputs import first_frame

    values, names = kinematics.read(file, threshold)
    first = int(first_frame(file) or 0)
    table = pd.DataFrame(values, columns=names, index=range(first, first + len(values)))
    text = table.to_csv(float_format="%.6g", lineterminator="\n")
    return text.encode(), f"{len(values)} frames, {len(names)} features"
