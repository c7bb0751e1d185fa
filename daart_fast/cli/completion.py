"""Print a script that completes commands, options and config keys in your shell.

For bash, add to ~/.bashrc the line

    eval "$(daart-fast completion bash)"

For zsh, write it to a file _daart-fast in a folder of $fpath:

    daart-fast completion zsh > ~/.zfunc/_daart-fast
"""

from __future__ import annotations

import argparse
from typing import Any

from daart_fast.config import KEYS
from daart_fast.errors import ConfigError

HELP = "print a script that completes commands and options in bash, zsh or tcsh"
EXAMPLES = """
  eval "$(daart-fast completion bash)"
  daart-fast completion zsh > ~/.zfunc/_daart-fast
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="your shell")


def run(options: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError:
        raise ConfigError("completion needs shtab: pip install 'daart_fast[completion]'") from None
    print(shtab.complete(_with_keys(options.whole_parser, shtab.FILE), options.shell))


def _with_keys(parser: argparse.ArgumentParser, file: dict[str, Any]) -> argparse.ArgumentParser:
    """Let ``train`` take every config key, and complete to files where there are no choices.

    Nearly all arguments without choices are paths.
    """
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, key in KEYS.items():
        commands.choices["train"].add_argument(
            f"--{name}", choices=key.choices or None, help=key.help.replace("%", "%%")
        )
    for command in commands.choices.values():
        for action in command._actions:
            if action.nargs != 0 and not action.choices:
                action.complete = file  # type: ignore[attr-defined]
    return parser
