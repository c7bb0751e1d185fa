"""The documentation: its commands, settings, Python and links are those of the program."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import daart_fast as df
from daart_fast.cli import COMMANDS, COMMON
from daart_fast.config import KEYS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]
OPTIONS = {*COMMON, "--help", "--version", "--no-resume"}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each code block, less its indentation."""
    text = page.read_text(encoding="utf-8")
    for indent, language, block in re.findall(
        r"^( *)```([\w{}-]*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL
    ):
        yield language, re.sub(f"^{indent}", "", block, flags=re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each daart-fast command in blocks of shell commands."""
    for language, text in blocks(page):
        if language in ("", "bash", "sh", "console"):
            for line in text.replace("\\\n", " ").splitlines():
                for part in re.split(r"\|\s|&&|;", line.split(" #")[0]):
                    if part.strip().startswith("daart-fast "):
                        yield shlex.split(part)[1:]


def known_options(command: str) -> set[str]:
    """The options of a command: what its help lists, and all keys where it takes them."""
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    keys = {f"--{name}" for name in KEYS} if command == "train" else set()
    return {*parser._option_string_actions, *keys, *OPTIONS}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_exists(page: Path) -> None:
    for words in commands(page):
        command = words[1] if words[0] == "help" else words[0]
        assert command in {*COMMANDS, "COMMAND", "--version"}, words
        if command in COMMANDS:
            given = {word.split("=")[0] for word in words if word.startswith("--")}
            assert given <= known_options(command), words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_setting_exists(page: Path) -> None:
    for language, text in blocks(page):
        if language == "yaml":
            for key, value in (yaml.safe_load(text) or {}).items():
                assert key in KEYS, key
                if not isinstance(value, (list, dict)):
                    KEYS[key].check(str(value))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_compiles_and_imports_what_there_is(page: Path) -> None:
    for language, text in blocks(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("daart_fast"):
                module = __import__(str(node.module), fromlist=["*"])
                assert all(hasattr(module, name.name) for name in node.names), text
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "df" or node.attr in df.__all__, node.attr


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, heading = target.partition("#")
        if "://" in target or file.startswith(("mailto:", "reference/")):
            continue
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles}


def test_each_page_is_in_the_table_of_contents() -> None:
    listed = (ROOT / "docs/index.md").read_text(encoding="utf-8").splitlines()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem in listed or page.stem == "index", page.name
