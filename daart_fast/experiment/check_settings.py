"""Settings that must fit each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daart_fast.backbones import backbone_of
from daart_fast.config.keys import IDS, KEYS, KINEMATIC, with_defaults
from daart_fast.config.values import split_ids
from daart_fast.errors import ConfigError, did_you_mean

__all__ = [
    "check_together",
]


def check_together(hparams: Mapping[str, Any]) -> None:
    """Refuse combinations of single values (no lists to search over) that cannot be meant.

    Parameters
    ----------
    hparams
        the keys of ``KEYS``; those missing are not looked at

    Raises
    ------
    ConfigError
        naming the keys, and the file of the first where ``hparams`` tells it
    """

    def fail(name: str, message: str) -> None:
        file = hparams.get(f"{KEYS[name].file}_config")
        raise ConfigError(f"{file}: {message}" if file else message)

    settings = with_defaults(hparams)
    least = backbone_of(settings).least_layers
    if settings["n_hid_layers"] < least:
        fail(
            "n_hid_layers",
            f"'n_hid_layers' is {settings['n_hid_layers']}: backbone {settings['backbone']!r} "
            f"needs {least} or more",
        )
    lambdas = [name for name in KEYS if name.startswith("lambda_")]
    if not any(settings[name] for name in lambdas):
        fail("lambda_strong", f"nothing to learn: {', '.join(lambdas)} are all 0")
    if settings["semi_supervised_algo"] and settings["anneal_start"] > settings["anneal_end"]:
        start, end = settings["anneal_start"], settings["anneal_end"]
        fail("anneal_start", f"'anneal_start' ({start}) comes after 'anneal_end' ({end})")
    if settings["semi_supervised_algo"] and not settings["lambda_strong"]:
        algorithm = settings["semi_supervised_algo"]
        fail(
            "lambda_strong",
            f"'lambda_strong' is 0: {algorithm!r} labels what a model that learned from hand "
            "labels is sure of",
        )
    if settings["input_type"] == KINEMATIC:
        from daart_fast.features import Kinematics  # it reads files, which this module does not

        try:
            Kinematics.from_hparams(settings)
        except ConfigError as error:
            fail("input_type", str(error))
    if settings["smoothing_seconds"] and not (settings["fps"] or settings["smoothing_frames"]):
        fail("fps", "'fps' is missing: 'smoothing_seconds' is in seconds")
    unsuited = settings["smoothing"] in ("hmm", "semi-markov")
    if settings["classifier_type"] == "multibinary" and unsuited:
        fail(
            "smoothing",
            f"'smoothing' is {settings['smoothing']!r}: multibinary has bouts and median",
        )
    _check_ids(settings, fail)


def _check_ids(settings: Mapping[str, Any], fail: Callable[[str, str], None]) -> None:
    ids = {name: split_ids(settings[name]) for name, key in KEYS.items() if key.kind is IDS}
    held_out = ids["expt_ids_val"] + ids["expt_ids_test"]
    known = ids["expt_ids"] + held_out
    for session in ids["expt_ids_to_keep"]:
        if session not in known:
            hint = did_you_mean(session, known)
            fail("expt_ids_to_keep", f"'expt_ids_to_keep': {session!r} is not in expt_ids{hint}")
    both = sorted(set(ids["expt_ids_val"]) & set(ids["expt_ids_test"]))
    if both:
        fail("expt_ids_val", f"{', '.join(both)}: both in 'expt_ids_val' and in 'expt_ids_test'")
    if ids["expt_ids"] and set(ids["expt_ids"]) <= set(held_out):
        fail("expt_ids", "every session of 'expt_ids' is held out: none is left to train on")
