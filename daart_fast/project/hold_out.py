"""Which whole sessions `daart-fast train FOLDER` holds out for testing.

A score counts only on videos that no training has seen, so some are set aside. The rule:

1. With fewer than four labelled sessions none is held out: too few would be left to train on.
2. Else a fifth of them is held out, and two at least.
3. Sessions are sorted by name, and those held out are evenly spaced among them, as names often
   begin with a condition or an animal: each should be represented.
4. A session that alone shows a class trains. So must enough sessions that every class is learned.
5. Of the choices that are left, beginning with the one that holds out the first session, that is
   taken in which the most classes occur in sessions held out. If every choice of so many sessions
   takes a class away from training, fewer are held out.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from daart_fast.config import split_ids, with_defaults

__all__ = ["FEWEST", "choose_held_out", "classes_by_session"]

#: With fewer labelled sessions none is held out.
FEWEST = 4


def choose_held_out(classes_of: Mapping[str, Collection[str]]) -> list[str]:
    """Choose the sessions to hold out by the rule above.

    Parameters
    ----------
    classes_of
        for each labelled session the scored classes that occur in it

    Returns
    -------
    list of str
        sorted; empty if none should be held out
    """
    sessions = sorted(session for session, classes in classes_of.items() if classes)
    if len(sessions) < FEWEST:
        return []
    shown_by = {
        name: [session for session in sessions if name in classes_of[session]]
        for name in _all_classes(classes_of.values())
    }
    needed = {showing[0] for showing in shown_by.values() if len(showing) == 1}
    spare = [session for session in sessions if session not in needed]
    for count in range(min(max(2, round(len(sessions) / 5)), len(spare)), 0, -1):
        choices = [
            held_out
            for held_out in _evenly_spaced(spare, count)
            if not any(set(showing) <= set(held_out) for showing in shown_by.values())
        ]
        if choices:  # the first of those that show the most classes
            return max(choices, key=lambda held_out: _n_classes(held_out, classes_of))
    return []


def _evenly_spaced(sessions: list[str], count: int) -> Iterable[list[str]]:
    """Yield each choice of so many evenly spaced sessions, by where the first of them is."""
    n = len(sessions)
    for first in range(-(-n // count)):
        indices = [first + i * n // count for i in range(count)]
        if indices[-1] < n:
            yield [sessions[index] for index in indices]


def _n_classes(held_out: Iterable[str], classes_of: Mapping[str, Collection[str]]) -> int:
    return len(_all_classes(classes_of[session] for session in held_out))


def _all_classes(classes: Iterable[Collection[str]]) -> list[str]:
    return sorted({name for some_classes in classes for name in some_classes})


def classes_by_session(hparams: Mapping[str, Any], sessions: Iterable[str]) -> dict[str, list[str]]:
    """Read which scored classes occur in the hand labels of each session.

    Parameters
    ----------
    hparams
        the keys of the config files; those missing have their defaults
    sessions
        names of sessions in ``data_dir``

    Returns
    -------
    dict
        for each session whose hand labels are used (``expt_ids_to_keep``) names of classes;
        sessions without hand labels are left out

    Raises
    ------
    DataError
        a label file cannot be read
    """
    from daart_fast.data.ignored import ignored_class
    from daart_fast.data.sessions import signal_paths
    from daart_fast.readers.labels import read_labels

    settings = with_defaults(hparams)
    kept = split_ids(settings["expt_ids_to_keep"])
    found = {}
    for session in sessions:
        path = signal_paths(settings, session, logging.debug)["labels_strong"]
        if path is None or (kept and session not in kept):
            continue
        labels, names = read_labels(path, settings["classifier_type"])
        ignored = ignored_class({**settings, "label_names": names})
        found[session] = [
            name
            for number, name in enumerate(names)
            if number != ignored
            and (labels == number if labels.ndim == 1 else labels[:, number] == 1).any()
        ]
    return found
