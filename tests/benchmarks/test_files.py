"""The benchmark from file to file runs, and its plain script predicts the same kind of files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_part_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("daart_fast._native")
    command = [sys.executable, "-m", "benchmarks.files", "--frames", "10000", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "out.json")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(rows) == 9
    assert all(row["s"] > 0 for row in rows)
