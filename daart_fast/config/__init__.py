"""The config files: one table describes every key; reading, checks and defaults follow from it."""

from daart_fast.config.keys import (
    DERIVED,
    FLOAT,
    IDS,
    INT,
    KEYS,
    KINEMATIC,
    MAX_SEED,
    PATH,
    RENAMED,
    Key,
    Kind,
    no_such_key,
    with_defaults,
)
from daart_fast.config.load import DEMO, Setting, load_config, resolve_path, settings_in
from daart_fast.config.values import PICTURE_FORMATS, SLURM, check_name, split_ids

__all__ = [
    "DEMO",
    "DERIVED",
    "FLOAT",
    "IDS",
    "INT",
    "KEYS",
    "KINEMATIC",
    "MAX_SEED",
    "PATH",
    "PICTURE_FORMATS",
    "RENAMED",
    "SLURM",
    "Key",
    "Kind",
    "Setting",
    "check_name",
    "load_config",
    "no_such_key",
    "resolve_path",
    "settings_in",
    "split_ids",
    "with_defaults",
]
