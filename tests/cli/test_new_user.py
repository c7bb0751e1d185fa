"""The README's five commands: from DeepLabCut files and BORIS exports to a report."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from daart_fast.demo import FPS, write_demo
from daart_fast.readers.labels import load_label_csv

README = Path(__file__).resolve().parents[2] / "README.md"
BORIS = "Observation id,Media file path,FPS (frame/s),Subject,Behavior,Behavior type,Time\n"


def readme_commands() -> list[str]:
    """The block of commands under the heading that promises them."""
    section = README.read_text(encoding="utf-8").split("## Your own data", 1)[1]
    return re.search(r"```\n(.*?)```", section, re.DOTALL)[1].strip().splitlines()


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder as a lab has it: DeepLabCut's files, and BORIS' exports of some behaviours."""
    demo = write_demo(tmp_path / "demo")
    (tmp_path / "deeplabcut").mkdir()
    (tmp_path / "boris").mkdir()
    for name in ("mouse1", "mouse4"):
        file = demo / "markers" / f"{name}.csv"
        file.rename(tmp_path / "deeplabcut" / f"{name}DLC_resnet50_mouseshuffle1_100000.csv")
        one_hot, classes = load_label_csv(demo / "labels-hand" / f"{name}.csv")
        labels = one_hot.argmax(1)
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
        rows = []
        for start, stop in pairwise(edges):
            label = classes[labels[start]]
            for kind, frame in (("START", start), ("STOP", stop)):
                if label != "background":
                    rows.append(f"{name},/v/{name}.mp4,{FPS},mouse,{label},{kind},{frame / FPS}")
        (tmp_path / "boris" / f"{name}.csv").write_text(BORIS + "\n".join(rows))
    return tmp_path


@pytest.mark.slow
def test_five_commands_lead_to_a_report(lab):
    commands = readme_commands()
    assert len(commands) == 5
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands:
        if command.startswith("daart-fast train"):
            command += " --max_epochs 3 --min_epochs 1"  # it need not be good
        shell = command.replace("daart-fast", f"{shlex.quote(sys.executable)} -m daart_fast.cli")
        done = subprocess.run(
            shell, shell=True, cwd=lab, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    report = (lab / "data" / "results" / "report.html").read_text()
    assert "mouse4" in report and "DLC_resnet50" not in report
    (summary,) = (lab / "data" / "results").rglob("summary.json")
    found = json.loads(summary.read_text())
    assert found["fps"] == FPS and "val" in found["scores"]
    assert (lab / "data" / "data.yaml").is_file()  # to change and train again
    assert_same_labels(lab)


def assert_same_labels(lab: Path) -> None:
    """What came through BORIS is what was labelled."""
    converted = lab / "data" / "labels-hand" / "mouse4.csv"
    found, names = load_label_csv(converted)
    truth, true_names = load_label_csv(lab / "demo" / "labels-hand" / "mouse4.csv")
    assert names[:2] == ["background", "other"]  # nobody looked; somebody looked and saw nothing
    assert not found[:, 0].any()
    found, names = found[:, 1:], ["background", *names[2:]]
    order = [true_names.index(name) for name in names]
    np.testing.assert_array_equal(found, truth[:, order])
