"""A session's frames have the role that they had in training, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.data.generator import DataGenerator
from daart_fast.eval.new_sessions import frames_by_split, trained_sessions

SETTINGS = {"sequence_length": 10, "trial_splits": "2;1;1;0", "rng_seed_train": 3}


@pytest.mark.parametrize(
    "held_out", [{}, {"expt_ids_val": ["b"]}, {"expt_ids_val": ["b"], "expt_ids_test": "c;d"}]
)
@pytest.mark.parametrize("train_frac", [1, 0.5])
def test_sessions_of_the_training_keep_their_role(tmp_path, held_out, train_frac):
    hparams = {"expt_ids": ["a", "b"], "train_frac": train_frac, **SETTINGS, **held_out}
    ids = trained_sessions(hparams)
    assert ids == sorted(ids)
    for number, session in enumerate(ids):
        np.save(tmp_path / f"{session}.npy", np.ones((95 + 10 * number, 1), np.float32))
    generator = DataGenerator(
        ids,
        [["markers"]] * len(ids),
        [[None]] * len(ids),
        [[tmp_path / f"{session}.npy"] for session in ids],
        sequence_length=10,
        trial_splits="2;1;1;0",
        rng_seed=3,
        train_frac=train_frac,
        ids_val=hparams.get("expt_ids_val", []),
        ids_test=hparams.get("expt_ids_test", "").split(";") if "expt_ids_test" in hparams else [],
    )
    for dataset in generator.datasets:
        found = frames_by_split(hparams, dataset.id, len(dataset.session))
        assert set(found) == {"train", "val", "test"}
        for split, frames in found.items():
            np.testing.assert_array_equal(frames, dataset.frames_of(split))


def test_all_frames_of_a_session_that_no_training_had_are_new():
    found = frames_by_split({"expt_ids": ["a"], **SETTINGS}, "z", 25)
    assert set(found) == {"new"} and found["new"].all() and len(found["new"]) == 25
