"""The command ``daart-fast``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from daart_fast.errors import ConfigError, DataError, did_you_mean

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for what the user can mend)."""
    parser = argparse.ArgumentParser(prog="daart-fast", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    info = commands.add_parser("info", help="which kernels run here, and why the others don't")
    info.set_defaults(run=_info)

    keys = commands.add_parser("keys", help="what each key of the config files means")
    keys.add_argument("key", nargs="*", help="only these")
    keys.set_defaults(run=_keys)

    predict = commands.add_parser("predict", help="predict new sessions with a finished model")
    predict.add_argument("model_dir", type=Path, help="the model's version_N folder")
    predict.add_argument("files", type=Path, nargs="+", help="the sessions' inputs")
    predict.add_argument(
        "--output_dir", type=Path, default=Path(), help="where to write SESSION_states.npy (here)"
    )
    predict.set_defaults(run=_predict)

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ConfigError, DataError) as error:
        print(f"daart-fast: error: {error}", file=sys.stderr)
        return 2
    return 0


def _info(options: argparse.Namespace) -> None:
    import platform

    from daart_fast import __version__, ops

    print(f"daart_fast {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(ops.report())


def _keys(options: argparse.Namespace) -> None:
    from daart_fast.config import KEYS

    unknown = [name for name in options.key if name not in KEYS]
    if unknown:
        raise ConfigError(f"there is no key {unknown[0]!r}{did_you_mean(unknown[0], KEYS)}")
    file = None
    for name, key in KEYS.items():
        if options.key and name not in options.key:
            continue
        if file != key.file:
            file = key.file
            print(f"\n{file}.yaml")
        default = "must be given" if key.required else f"default {key.default}"
        print(f"  {name}: {key.help}\n      {key.wants}; {default}")


def _predict(options: argparse.Namespace) -> None:
    from daart_fast.api import Model
    from daart_fast.data.readers import suffix_of

    outputs: dict[Path, Path] = {}
    for file in options.files:
        session = file.name[: len(file.name) - len(suffix_of(file))]
        output = options.output_dir / f"{session}_states.npy"
        if output in outputs.values():
            raise DataError(f"{file}: another file would be written to {output} too")
        outputs[file] = output
    model = Model.from_dir(options.model_dir)
    for file, output in outputs.items():
        states = model.predict(file, output)
        print(f"{output}: {len(states)} frames, {states.shape[1]} classes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
