"""Build features from tracked points and write them as csv files, one a session.

Training does this by itself with input_type: features-kinematic; the files are for a look at the
features, or for use elsewhere. A folder of them inside data_dir is an input_type too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daart_fast.cli.sessions import session_files

HELP = "build features from tracked points and write them as csv"
EXAMPLES = """
  daart-fast features data/markers --output_dir data/my-features
  daart-fast features data/markers --groups "speeds;egocentric" --axis "tail_base;nose" \\
      --windows "0.5;2" --fps 30 --output_dir data/my-features
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from daart_fast.config import KEYS

    parser.add_argument("files", type=Path, nargs="+", help="files of tracked points, or folders")
    parser.add_argument("--output_dir", type=Path, required=True, help="where to write")
    for name in ("groups", "windows", "axis"):
        key = KEYS[f"kinematic_{name}"]
        parser.add_argument(f"--{name}", default=key.default, help=key.help.split(": ", 1)[1])
    parser.add_argument("--fps", type=float, help="frames a second")
    parser.add_argument(
        "--likelihood_threshold", type=float, default=0.0, help="points less sure are interpolated"
    )


def run(options: argparse.Namespace) -> None:
    import pandas as pd

    from daart_fast.config import KINEMATIC
    from daart_fast.features import Kinematics
    from daart_fast.files import replacing, spare_inputs

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
    spare_inputs(outputs.values(), files.values())
    for session, file in files.items():
        values, names = kinematics.read(file, options.likelihood_threshold)
        path = outputs[session]
        with replacing(path) as temporary:
            pd.DataFrame(values, columns=names).to_csv(temporary, float_format="%.6g")
        print(f"{path}: {len(values)} frames, {len(names)} features", flush=True)
