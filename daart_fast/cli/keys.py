"""Explain the keys of the config files."""

from __future__ import annotations

import argparse
import json
from typing import Any

from daart_fast.config import KEYS, Key
from daart_fast.errors import ConfigError, did_you_mean

HELP = "what each key of the config files means"
EXAMPLES = """
  daart-fast keys
  daart-fast keys n_lags smoothing
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", nargs="*", help="only these")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(options: argparse.Namespace) -> None:
    unknown = [name for name in options.key if name not in KEYS]
    if unknown:
        raise ConfigError(f"there is no key {unknown[0]!r}{did_you_mean(unknown[0], KEYS)}")
    keys = {name: key for name, key in KEYS.items() if name in (options.key or KEYS)}
    if options.json:
        print(json.dumps({name: _described(key) for name, key in keys.items()}, indent=2))
        return
    file = None
    for name, key in keys.items():
        if file != key.file:
            file = key.file
            print(f"\n{file}.yaml")
        default = "must be given" if key.required else f"default {key.default}"
        print(f"  {name}: {key.help}\n      {key.wants}; {default}")


def _described(key: Key) -> dict[str, Any]:
    return {
        "file": key.file,
        "help": key.help,
        "wants": key.wants,
        "required": key.required,
        "default": key.default,
    }
