"""The documentation site: ``sphinx-build -W -b html docs build/docs``.

The pages of the command line and of the config keys are written from their tables before each
build, so that they cannot differ from the program.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stdout, suppress
from pathlib import Path

# help texts are as wide as this says, on any terminal; and in one colour
os.environ.update(COLUMNS="100", NO_COLOR="1", PYTHON_COLORS="0")

from sphinx.application import Sphinx

from daart_fast import __version__
from daart_fast.cli import COMMANDS, main
from daart_fast.config import KEYS

project = "daart_fast"
author = "daart_fast developers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "numpydoc",
]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
numpydoc_show_class_members = False
autodoc_typehints = "none"  # docstrings name the types, with shapes
autodoc_member_order = "bysource"
highlight_language = "text"

html_theme = "furo"
html_title = f"daart_fast {version}"
html_static_path: list[str] = []
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

REFERENCE = Path(__file__).parent / "reference"


def command_help(name: str) -> str:
    """Return what ``daart-fast NAME --help`` prints."""
    with redirect_stdout(io.StringIO()) as text, suppress(SystemExit):
        main([name, "--help"])
    return text.getvalue().rstrip()


def write_commands() -> None:
    """Write the page of all commands from what ``--help`` prints."""
    lines = ["# Commands", "", "Written from the help of each command.", ""]
    for name, module in COMMANDS.items():
        lines += [f"## daart-fast {name}", "", f"{module.HELP.capitalize()}.", ""]
        lines += ["```text", command_help(name), "```", ""]
    (REFERENCE / "commands.md").write_text("\n".join(lines))


def write_keys() -> None:
    """Write the page of all config keys from their table."""
    lines = ["# Config keys", "", "The same as `daart-fast keys`.", ""]
    for file in dict.fromkeys(key.file for key in KEYS.values()):
        lines += [f"## {file}.yaml", ""]
        for name, key in KEYS.items():
            if key.file != file:
                continue
            value = key.default if isinstance(key.default, str) else json.dumps(key.default)
            default = "must be given" if key.required else f"default `{value}`"
            lines += [f"`{name}`", f": {key.help}.", f"  {key.wants.capitalize()}; {default}.", ""]
    (REFERENCE / "keys.md").write_text("\n".join(lines))


def write_reference(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for its sources."""
    write_commands()
    write_keys()


def setup(app: Sphinx) -> None:
    """Register what this site adds to Sphinx."""
    app.connect("builder-inited", write_reference, priority=0)
