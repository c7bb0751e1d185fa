"""Annotation files of Bento and MARS become the frames that their authors saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from daart_fast.convert import one_hot, read_annotations
from daart_fast.errors import DataError

BENTO = """Bento annotation file
Movie file(s):  D:\\videos\\mouse06_Top.seq

Stimulus name:
Annotation start frame: 1
Annotation stop frame: 600
Annotation framerate: 30.000000

List of channels:
Ch1
female

List of annotations:
attack
mount
sniff

Ch1----------
>attack
Start\t Stop\t Duration
3.03333333333\t5.23333333333\t2.23333333333
10\t11\t1.03333333333

"""
SECOND_CHANNEL = """
female----------
>sniff
Start\t Stop\t Duration
6.66666666667\t8\t1.36666666667
"""


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, name: str = "mouse06.annot", **options):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        return read_annotations(tmp_path / name, **options)

    return read


def test_frames_of_bento_count_from_1_and_the_last_is_included(read):
    (found,) = read(BENTO)
    assert found.format == "bento" and found.fps == 30
    assert found.bouts == [("attack", 90, 157), ("attack", 299, 330)]
    assert found.classes == ["attack", "mount", "sniff"]
    assert found.names == ["mouse06", "mouse06_Top"] and found.n_observed == 600


def test_of_two_channels_one_must_be_chosen(read):
    (found,) = read(BENTO + SECOND_CHANNEL)
    with pytest.raises(DataError, match="in the channels Ch1, female; choose one by --subject"):
        one_hot(found, found.classes, 600)
    table = one_hot(found, found.classes, 600, multibinary=True)
    assert table.sum(0).tolist() == [98, 0, 41]
    (female,) = read(BENTO + SECOND_CHANNEL, subject="female")
    assert female.bouts == [("sniff", 199, 240)]
    assert one_hot(female, female.classes, 600)[:, 3].sum() == 41
    with pytest.raises(DataError, match="one of the channels Ch1, female, found 'male'"):
        read(BENTO, subject="male")


def test_frames_before_the_first_of_bento_are_not_scored(read):
    (found,) = read(BENTO.replace("start frame: 1", "start frame: 61"))
    assert found.unlabelled == [(0, 60)]


def test_bento_without_a_rate_holds_frames(read):
    lines = [line for line in BENTO.splitlines() if "framerate" not in line]
    with pytest.raises(DataError, match="line 20: expected a frame, found 3.0333"):
        read("\n".join(lines))
    frames = "\n".join(lines).replace("3.03333333333", "91").replace("5.23333333333", "157")
    assert read(frames)[0].bouts[0] == ("attack", 90, 157)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("10\t11\t1.03333333333", "10", "line 22: expected start and stop of a bout, found '10'"),
        ("10\t11", "ten\t11", "line 22: expected a number, found 'ten'"),
        ("10\t11", "0\t11", "line 22: attack starts at frame 0, but frames count from 1"),
    ],
)
def test_a_damaged_file_of_bento_is_refused_by_its_line(read, old, new, said):
    with pytest.raises(DataError, match=said):
        read(BENTO.replace(old, new))
