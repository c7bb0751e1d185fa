"""Nothing here asks the network: data stays where it is, and a machine without one will do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys

def refuse(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        raise RuntimeError(f"{event}: {arguments}")
    if event in ("urllib.Request", "http.client.connect", "ftplib.connect"):
        raise RuntimeError(f"{event}: {arguments}")

sys.addaudithook(refuse)
from argparse import Namespace
from daart_fast.api import Model
from daart_fast.report import write_report
from daart_fast.search.fit import fit

settings = json.loads(sys.argv[1])
folder = fit(Namespace(**settings))
Model.from_dir(folder).predict(settings["data_dir"] + "/features/mouse.csv")
write_report([folder], settings["data_dir"] + "/report.html")
"""


@pytest.mark.slow
def test_training_prediction_and_a_report_open_no_connection(tmp_path: Path) -> None:
    from trainings import settings_in

    settings = {**settings_in(tmp_path), "results_dir": str(tmp_path / "results")}
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(settings)]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "data" / "report.html").stat().st_size > 1000
