"""Compiled loops that several processes keep in one folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOADER = """
import sys
from numba import types
from daart_fast.compiled import jit
sys.path.insert(0, "")
import loops
print(jit(loops.add, types.int64(types.int64))(1), flush=True)
"""

#: Compiles too, and starts a loader between the two files that numba writes.
WRITER = """
import subprocess, sys
import numba.core.caching as caching
from daart_fast import compiled

def save(self, *data):
    # the loader tells when it has come to the lock, or what it found without one
    other = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "waits\\n"
    others.append(other)
    write(self, *data)

others, write = [], caching.IndexDataCacheFile._save_data
caching.IndexDataCacheFile._save_data = save
exec(sys.argv[2])
print(others[0].communicate()[0].strip())
"""

TELLS = """
import filelock
lock = filelock.lock_descriptor
def tell(*arguments, **settings):
    print("waits", flush=True)
    return lock(*arguments, **settings)
filelock.lock_descriptor = tell
"""


@pytest.mark.slow
def test_code_is_not_read_between_numbas_two_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))

    def answers(*code: str) -> list[str]:
        command = [sys.executable, "-c", *code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    loops = tmp_path / "loops.py"
    loops.write_text("def add(x):\n    return x + 1\n")
    assert answers(LOADER) == ["2"]
    loops.write_text("def add(x):\n    return x + 20\n")
    assert answers(WRITER, TELLS + LOADER, LOADER) == ["21", "21"]
