"""A session is called as its video, whatever programs have added to that name."""

from __future__ import annotations

import pytest

from daart_fast.names import Name, parts_of, session_name

SCORER = "DLC_dlcrnetms5_ratJan24shuffle1_5000_el"


@pytest.mark.parametrize(
    "added",
    [
        SCORER,
        f"{SCORER}_filtered",
        f"{SCORER}_skeleton",
        "DLC_resnet50_mouseshuffle1_100000_labeled",
        "DeepCut_resnet50_mouseshuffle1_100000",
        "_DLC_resnet50",
        "_superanimal_topviewmouse_hrnetw32",
        ".mp4.predictions",
        ".predictions",
        "_labeled",
        "_filtered",
        "",
    ],
)
@pytest.mark.parametrize("video", ["rat_26", "mouse1_day2", "m.1 a", "DLC_box1", "DLC"])
def test_what_programs_add_is_no_part_of_the_session(video, added):
    assert session_name(video + added) == video


def test_the_parts_of_a_name_are_told_apart():
    assert parts_of(f"rat_26{SCORER}_filtered") == Name("rat_26", SCORER, "_filtered")
    assert parts_of("rat_26") == Name("rat_26")


@pytest.mark.parametrize("name", ["rat_26_el", "DLC_resnet50", "myDLC", "_labeled", "mouseDLC2"])
def test_a_name_that_only_looks_so_is_left(name):
    assert session_name(name) == name
