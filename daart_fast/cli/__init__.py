"""The command ``daart-fast``: one module a command.

Each module has ``HELP`` (a line), ``EXAMPLES`` (commands to copy), ``add_arguments(parser)`` and
``run(options)``. Modules import what they need when they run, so that help comes at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from types import ModuleType
from typing import NoReturn

from daart_fast import __version__
from daart_fast.cli import (
    compare,
    completion,
    convert_labels,
    doctor,
    evaluate,
    export,
    features,
    info,
    keys,
    online,
    predict,
    report,
    train,
)
from daart_fast.errors import MENDABLE, ConfigError, OutputError, did_you_mean, print_error, reason
from daart_fast.machine import memory_asked_for

__all__ = ["main"]

COMMANDS: dict[str, ModuleType] = {
    "convert-labels": convert_labels,
    "doctor": doctor,
    "features": features,
    "train": train,
    "predict": predict,
    "online": online,
    "evaluate": evaluate,
    "report": report,
    "compare": compare,
    "export": export,
    "keys": keys,
    "info": info,
    "completion": completion,
}

#: options of every command
COMMON = {
    "--quiet": "print results and errors only: no progress, no warnings",
    "--verbose": "print the log too: which kernels run, what is read and resumed",
    "--debug": "show the traceback of an error",
}

EPILOG = """'daart-fast COMMAND --help' has examples of each command.

exit codes:
  0    all is done
  1    a trial of a search failed, or an error that nobody foresaw (--debug shows where)
  2    something that you can mend; the message says what
  130  stopped with Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for what the user can mend)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug, quiet = "--debug" in given, "--quiet" in given
    _log_to_terminal(quiet, "--verbose" in given)
    options = argparse.Namespace()
    try:
        options = _options(given)
        with open(os.devnull, "w") as nothing, redirect_stderr(nothing) if quiet else nullcontext():
            return options.module.run(options) or 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        return _print(error, options)


def _log_to_terminal(quiet: bool, verbose: bool) -> None:
    """Send warnings to the terminal; with ``verbose`` also what a training writes to its log."""
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    terminal = logging.StreamHandler()
    terminal.setLevel(level)
    logging.basicConfig(format="%(levelname)s: %(message)s", handlers=[terminal])
    if verbose:
        logging.getLogger().setLevel(level)


def _print(error: Exception, options: argparse.Namespace) -> int:
    """Print what ended a command, in one line; return the exit code."""
    if isinstance(error, OutputError) and (option := _writes_elsewhere(options)):
        print_error(f"{error}; {option} writes to another place")
        return 2
    if isinstance(error, MENDABLE):
        print_error(error)
        return 2
    if isinstance(error, OSError) and error.filename is not None:
        print_error(f"{error.filename}: {reason(error)} (--debug shows where)")
        return 2
    if asked := memory_asked_for(error):
        print_error(f"not enough memory: {asked} more were asked for (--debug shows where)")
        return 1
    words = " ".join(str(error).split())
    print_error(f"{type(error).__name__}: {words} (--debug shows where)")
    return 1


def _writes_elsewhere(options: argparse.Namespace) -> str | None:
    """Name the command's option that says where to write."""
    parser = getattr(options, "parser", None)
    known = parser._option_string_actions if parser is not None else ()
    return next((name for name in ("--output", "--output_dir") if name in known), None)


def _options(given: list[str]) -> argparse.Namespace:
    """Read the command line; training reads its own, as every key may be given on it."""
    if given[:1] == ["help"]:
        given = [*given[1:2], "--help"]
    command = given[0] if given else ""
    if command and not command.startswith("-") and command not in COMMANDS:
        raise ConfigError(
            f"there is no command {command!r}{did_you_mean(command, COMMANDS)}; "
            f"the commands are {', '.join(COMMANDS)}"
        )
    if command == "train" and "-h" not in given and "--help" not in given:
        return argparse.Namespace(
            module=train, arguments=[word for word in given[1:] if word not in COMMON]
        )
    options, unknown = _parser().parse_known_args(given)
    if unknown:
        known = options.parser._option_string_actions
        hint = did_you_mean(unknown[0].partition("=")[0], known)
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are like all others: one line, and the exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} ('{self.prog} --help' has examples)")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; of ``train`` without the config keys."""
    parser = _Parser(
        prog="daart-fast",
        description="Segment animal behaviour, frame by frame, from tracked body points.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"daart-fast {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog="examples:\n" + module.EXAMPLES.strip("\n"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        for option, meaning in COMMON.items():
            command.add_argument(option, action="store_true", help=meaning)
        command.set_defaults(module=module, parser=command, whole_parser=parser)
    return parser
