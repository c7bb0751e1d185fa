"""Words that make a reader stop do not come back into code, messages and docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: what to write instead
WORDS = {
    "told": "reported, printed, warned",
    "anew": "again",
    "amid": "within, during",
    "till": "until",
    "dear": "expensive",
    "whereof": "of which",
    "belongs into": "belongs to",
}
FOLDERS = ("daart_fast", "csrc", "docs", "tests", "benchmarks", "examples", "configs")
ENDINGS = (".py", ".pyi", ".cpp", ".h", ".cu", ".cuh", ".md", ".yaml", ".js", ".html", ".sh")
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in ENDINGS and path != Path(__file__)
) + sorted(ROOT.glob("*.md"))


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_makes_readers_stop_is_not_used(word):
    pattern = re.compile(rf"\b{word}\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, f"write {WORDS[word]}"
