"""Labels of other programs become the same frames in daart_fast's one-hot files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daart_fast.convert import Annotation, match_sessions, one_hot, one_hot_text, read_annotations
from daart_fast.convert.onehot import Tracked, frames_between_bouts, warn_of_length
from daart_fast.errors import DataError
from daart_fast.readers.labels import read_labels

# BORIS 7: observation rows above the columns, START and STOP in Status
BORIS_TABULAR = """Observation id,mouse1
Media file(s)
Player #1,/videos/mouse1.mp4
Observation date,2024-01-01 10:00:00
Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
0.5,/videos/mouse1.mp4,4.0,10,No focal subject,walk,,,START
1.0,/videos/mouse1.mp4,4.0,10,No focal subject,walk,,,STOP
1.0,/videos/mouse1.mp4,4.0,10,No focal subject,groom,,,START
2.0,/videos/mouse1.mp4,4.0,10,No focal subject,groom,,,STOP
3.2,/videos/mouse1.mp4,4.0,10,No focal subject,sneeze,,,POINT
"""

# BORIS 8: two observations in one file
BORIS_8 = """Observation id,Observation date,Description,Observation type,Source,Time offset (s),\
Coding duration,Media duration (s),FPS (frame/s),Subject,Behavior,Behavioral category,\
Behavior type,Time,Media file name,Image index,Image file path,Comment
obs A,2024-01-01,,Media file(s),x,0,4,4,10,rat1,walk,,START,0.5,C:\\videos\\mouse1.mp4,5,,
obs A,2024-01-01,,Media file(s),x,0,4,4,10,rat2,walk,,START,0.6,C:\\videos\\mouse1.mp4,6,,
obs A,2024-01-01,,Media file(s),x,0,4,4,10,rat1,walk,,STOP,1.0,C:\\videos\\mouse1.mp4,10,,
obs A,2024-01-01,,Media file(s),x,0,4,4,10,rat2,walk,,STOP,1.5,C:\\videos\\mouse1.mp4,15,,
obs B,2024-01-01,,Media file(s),x,0,4,4,10,rat1,groom,,START,1.0,C:\\videos\\mouse2.mp4,10,,
obs B,2024-01-01,,Media file(s),x,0,4,4,10,rat1,groom,,STOP,2.0,C:\\videos\\mouse2.mp4,20,,
"""

BORIS_AGGREGATED = """Observation id\tFPS\tSubject\tBehavior\tBehavior type\tStart (s)\t\
Stop (s)\tDuration (s)
mouse1\t10\tmouse\twalk\tSTATE\t0.5\t1.0\t0.5
mouse1\t10\tmouse\tsneeze\tPOINT\t3.2\t3.2\tNA
"""

CALTECH = """Caltech Behavior Annotator - Annotation File

Configuration file:
other\to
walk\tw
groom\tg

S1:\tstart\tend\ttype
-----------------------------
\t1\t5\tother
\t6\t10\twalk
\t11\t20\tgroom

S2:\tstart\tend\ttype
-----------------------------
\t1\t20\tother
"""

DEEPETHOGRAM = """,background,walk,groom
0,1,0,0
1,0,1,0
2,0,1,0
3,0,0,1
4,-1,-1,-1
"""

SIMBA = """,nose_x,nose_y,speed,walk,groom
0,1.5,2.5,0.5,0,0
1,1.6,2.5,0.5,1,0
2,1.7,2.5,0.7,1,0
3,1.7,2.5,0.7,0,1
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Annotation]]:
    """A function that writes a file and reads its annotations."""

    def read(text: str, name: str = "mouse1.csv", **options) -> list[Annotation]:
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        return read_annotations(tmp_path / name, **options)

    return read


def test_boris_tabular_events_start_and_stop(read):
    (found,) = read(BORIS_TABULAR)
    assert found.names[0] == "mouse1"
    assert found.bouts == [("walk", 5, 10), ("groom", 10, 20), ("sneeze", 32, 33)]


def test_a_frame_rate_that_contradicts_the_files_is_an_error_with_both_numbers(read):
    with pytest.raises(DataError, match="mouse1.csv: --fps is 25, but the file says 10 frames a s"):
        read(BORIS_TABULAR, fps=25)
    assert read(BORIS_TABULAR, fps=10)[0].fps == 10


def test_a_frame_rate_is_given_where_the_file_has_none(read):
    without = BORIS_TABULAR.replace(",10,No", ",NA,No")
    with pytest.raises(DataError, match="times are in seconds: expected the frame rate"):
        read(without)
    (found,) = read(without, fps=20)
    assert found.bouts[0] == ("walk", 10, 20) and found.fps == 20


def test_two_frame_rates_in_one_observation_are_an_error(read):
    with pytest.raises(DataError, match="line 8: the frame rate is 12 here and 10 above"):
        read(
            BORIS_TABULAR.replace(
                "1.0,/videos/mouse1.mp4,4.0,10,No focal subject,groom",
                "1.0,/videos/mouse1.mp4,4.0,12,No focal subject,groom",
            )
        )


def test_boris_says_how_long_somebody_looked(read):
    assert read(BORIS_TABULAR)[0].n_observed == 40
    assert read(BORIS_AGGREGATED, "export.tsv")[0].n_observed is None
    both = BORIS_8.replace("Coding duration", "Observation duration").replace(",0,4,4,", ",0,3,4,")
    assert [own.n_observed for own in read(both)] == [30, 30]  # the shorter one


def test_times_of_a_live_observation_are_reported(read, caplog):
    read(BORIS_8.replace("Media file(s),x,0,", "Live,x,0,"))
    first, second = caplog.messages
    assert "observation obs A was watched live: its times are taken to count from the" in first
    assert "observation obs B" in second


def test_a_time_offset_is_no_time_of_the_video(read):
    later = BORIS_8.replace(",x,0,", ",x,0.5,")
    with pytest.raises(DataError, match="line 2: walk is at frame 0 by its time, but at frame 5"):
        read(later)
    for time in ("2.0", "1.5", "1.0", "0.6", "0.5"):
        later = later.replace(f",{time},C:", f",{float(time) + 0.5},C:")
    assert [one.bouts for one in read(later)] == [one.bouts for one in read(BORIS_8)]
    with pytest.raises(DataError, match="0.5 s is before the observation's time offset of 12.5 s"):
        read(BORIS_8.replace(",x,0,", ",x,12.5,"))


# one observation of two videos, one after the other, of 4 and 6 seconds
BORIS_QUEUE = """Observation id,Observation type,Source,Time offset (s),Media duration (s),FPS,\
Subject,Behavior,Behavior type,Time,Media file name,Image index
day1,Media file(s),player #1:v/a.mp4;v/b.mp4,0,4;6,10;10,rat1,walk,START,3.5,v/a.mp4,35
day1,Media file(s),player #1:v/a.mp4;v/b.mp4,0,4;6,10;10,rat1,walk,STOP,4.5,v/b.mp4,5
day1,Media file(s),player #1:v/a.mp4;v/b.mp4,0,4;6,10;10,rat2,rear,POINT,6,v/b.mp4,20
"""


def test_each_video_of_an_observation_has_its_frames(read):
    first, second = read(BORIS_QUEUE)
    assert (first.names, first.bouts, first.n_observed) == (["a"], [("walk", 35, 40)], 40)
    assert (second.names, second.n_observed, second.fps) == (["b"], 60, 10)
    assert second.bouts == [("walk", 0, 5), ("rear", 20, 21)]
    assert [one.bouts for one in read(BORIS_QUEUE, subject="rat2")] == [[], [("rear", 20, 21)]]


def test_videos_whose_lengths_a_file_does_not_say_are_refused(read):
    unknown = BORIS_QUEUE.replace(",4;6,", ",10,")
    with pytest.raises(DataError, match="day1 is about the videos a and b, but the file does not"):
        read(unknown, subject="rat2")
    with pytest.raises(DataError, match="the videos a and b"):  # nor how they follow each other
        read(unknown.replace("player #1:v/a.mp4;v/b.mp4", ""))


def test_an_event_that_is_not_in_its_video_is_refused(read):
    with pytest.raises(DataError, match="line 4: rear is at frame -10 of b by its time"):
        read(BORIS_QUEUE.replace("POINT,6,", "POINT,3,"))


def test_videos_side_by_side_are_one_recording(read):
    players = ",player #1:mouse1.mp4|player #2:top.mp4,0,4,4|4,10|10,"
    (found,) = read(BORIS_8.partition("obs B")[0].replace(",x,0,4,4,10,", players))
    assert found.names[:2] == ["obs A", "mouse1"]
    assert (found.fps, found.n_observed) == (10, 40)


def test_an_export_without_events_is_of_a_session_without_bouts(read):
    (found,) = read(BORIS_8.partition("obs A")[0], "mouse1_No focal subject.csv")
    assert found.names == ["mouse1_No focal subject", "mouse1", "mouse1_No focal subject"]
    assert found.bouts == []


@pytest.mark.parametrize("decimal", [",", "."])
def test_semicolons_of_excel_in_europe_are_read(read, decimal):
    text = "class;start;stop\nwalk;0.5;1.0\ngroom;1.0;2.0\n".replace(".", decimal)
    assert read(text, fps=10)[0].bouts == [("walk", 5, 10), ("groom", 10, 20)]


def test_semicolons_that_are_not_clear_are_named_as_the_cause(read):
    with pytest.raises(DataError, match="separated by ';': save it again as 'CSV UTF-8"):
        read("class;start, s;stop, s\nwalk;1;2\n")


def test_one_boris_file_may_hold_several_observations_and_subjects(read):
    first, second = read(BORIS_8, subject="rat1")
    assert first.names == ["obs A", "mouse1", "mouse1"] and first.bouts == [("walk", 5, 10)]
    assert second.names[:2] == ["obs B", "mouse2"] and second.bouts == [("groom", 10, 20)]
    assert read(BORIS_8)[0].bouts == [("walk", 5, 10), ("walk", 6, 15)]


def test_boris_aggregated_events_are_bouts(read):
    (found,) = read(BORIS_AGGREGATED, "export.tsv")
    assert found.names[0] == "mouse1" and found.bouts == [("walk", 5, 10), ("sneeze", 32, 33)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("1.0,/videos/mouse1.mp4,4.0,10,No focal subject,walk,,,STOP\n", ""), "never stops"),
        (("0.5,", "half,"), "line 6: expected a number, found 'half'"),
        (("0.5,", "nan,"), "line 6: expected a number below 1e\\+08, found 'nan'"),
        (("0.5,", "1e300,"), "line 6: expected a number below 1e\\+08, found '1e300'"),
        (("walk,,,STOP", "walk,,,START"), "walk starts a second time"),
        (("groom,,,STOP", "groom,,,"), "groom is 'nothing'"),
    ],
)
def test_boris_events_that_do_not_fit_are_named(read, change, said):
    with pytest.raises(DataError, match=said):
        read(BORIS_TABULAR.replace(*change))


def test_caltech_frames_count_from_one_and_include_the_last(read):
    (found,) = read(CALTECH, "mouse1.txt")
    assert found.bouts == [("other", 0, 5), ("walk", 5, 10), ("groom", 10, 20)]
    assert found.classes == ["other", "walk", "groom"] and found.n_frames == 20


def test_deepethogram_has_a_row_a_frame_and_frames_nobody_scored(read):
    (found,) = read(DEEPETHOGRAM)
    assert found.bouts == [("walk", 1, 3), ("groom", 3, 4)] and found.a_row_a_frame
    assert found.n_frames == 5 and set(found.unlabelled) == {(4, 5)}


def test_simba_targets_are_the_columns_of_0_and_1_at_the_end(read):
    (found,) = read(SIMBA)
    assert found.classes == ["walk", "groom"]
    assert found.bouts == [("walk", 1, 3), ("groom", 3, 4)]
    assert read(SIMBA, format="simba", classes=["groom"])[0].classes == ["groom"]
    with pytest.raises(DataError, match="no column 'jump'"):
        read(SIMBA, format="simba", classes=["jump"])


def test_features_of_0_and_1_of_simba_are_no_classes(read, caplog):
    features = ",Low_prob_detections_0.75,rat Nose in zone,rat in zone_cumulative_time,rat Facing"
    rows = [row.replace(",0.5,", ",0.5,0,1,0,0,").replace(",0.7,", ",0.7,1,0,0,1,")
            for row in SIMBA.replace(",speed", f",speed{features}").splitlines()]  # fmt: skip
    assert read("\n".join(rows)) == read(SIMBA)
    assert "are features, not behaviours: Low_prob_detections_0.75, rat Nose in" in caplog.text
    (chosen,) = read("\n".join(rows), format="simba", classes=["rat Facing"])
    assert chosen.classes == ["rat Facing"]


@pytest.mark.parametrize(
    ("text", "fps"),
    [
        ("class,start,stop\nwalk,5,10\ngroom,10,20\n", None),
        ("Label,onset,duration\nwalk,0.5,0.5\ngroom,1,1\n", 10),
        ("behavior,start_frame,end_frame\nwalk,5,10\ngroom,10,20\n", 10),
    ],
)
def test_bout_tables_are_in_frames_or_seconds(read, text, fps):
    assert read(text, fps=fps)[0].bouts == [("walk", 5, 10), ("groom", 10, 20)]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("class,start,stop", "walk,1,2.5"),
        ("class,start,duration", "walk,1,0.5"),
        ("class,Start (s),Stop (s)", "walk,1,2"),
        ("class,start_time,end_time", "walk,1,2"),
        ("class,start,stop (s)", "walk,1,2"),
    ],
)
def test_seconds_without_a_frame_rate_are_refused(read, header, row):
    with pytest.raises(DataError, match=r"times are in seconds: expected the frame rate \(--fps\)"):
        read(f"{header}\n{row}\n")
    assert read(f"{header}\n{row}\n", fps=10)[0].bouts[0][1] == 10


@pytest.mark.parametrize("fps", [None, 10])
def test_a_frame_is_a_whole_number(read, fps):
    with pytest.raises(DataError, match="line 3: expected a frame, found 9.5"):
        read("class,start_frame,end_frame\nwalk,5.0,7\nwalk,8,9.5\n", fps=fps)
    with pytest.raises(DataError, match="line 10: expected a frame, found 5.5"):
        read(CALTECH.replace("\t1\t5\tother", "\t1\t5.5\tother"), "mouse1.txt", fps=fps)


def test_our_own_tables_of_bouts_can_be_read_back(tmp_path):
    from daart_fast.eval import write_bouts

    write_bouts(tmp_path / "s.csv", np.repeat([1, 0, 1], [7, 11, 13]), ["rest", "walk"], fps=30)
    (found,) = read_annotations(tmp_path / "s.csv", fps=30)
    assert found.bouts == [("walk", 0, 7), ("rest", 7, 18), ("walk", 18, 31)]


def test_a_table_of_bouts_may_hold_several_sessions(read):
    found = read("video,class,start,stop\na/m1.mp4,walk,0,3\nm2,walk,1,2\n")
    assert [own.names for own in found] == [["m1"], ["m2"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a,b\n1,2\n",
            "expected labels of one of these kinds: boris-project, .*boris, .* found a, b",
        ),
        ("", "found nothing"),
        ("class,start,stop\nwalk,9,5\n", "a bout of walk runs from frame 9 to 5"),
        ("class,start,stop\nwalk,9\n", "line 2: expected 3 cells, found 2"),
    ],
)
def test_what_cannot_be_read_is_named(read, text, said):
    with pytest.raises(DataError, match=said):
        read(text)


# ------------------------------------------------------------------------------ tables


def walking(*bouts: tuple[str, int, int], **more) -> Annotation:
    return Annotation(["mouse1"], list(bouts), source="file.csv", **more)


def test_frames_of_no_bout_are_background_or_another_class():
    found = one_hot(walking(("walk", 1, 3)), ["walk", "rest"], 4)
    assert found.argmax(1).tolist() == [0, 1, 1, 0]
    found = one_hot(walking(("walk", 1, 3), unlabelled=[(3, 4)]), ["walk", "rest"], 4, other="rest")
    assert found.argmax(1).tolist() == [2, 1, 1, 0]


def test_frames_that_nobody_scored_have_no_labels_of_several_behaviours():
    scored = walking(("walk", 1, 3), unlabelled=[(3, 4)])
    table = one_hot(scored, ["walk"], 4, multibinary=True)
    np.testing.assert_array_equal(table[:, 0], [0, 1, 1, np.nan])


def test_two_behaviours_at_once_are_an_error_or_decided_or_kept():
    both = walking(("walk", 0, 3), ("groom", 2, 4))
    with pytest.raises(DataError, match="frame 2: walk and groom at once, as in 1 frames in all"):
        one_hot(both, ["walk", "groom"], 4)
    first = one_hot(both, ["walk", "groom"], 4, overlaps="first")
    last = one_hot(both, ["walk", "groom"], 4, overlaps="last")
    assert first.argmax(1).tolist() == [1, 1, 1, 2] and last.argmax(1).tolist() == [1, 1, 2, 2]
    kept = one_hot(both, ["walk", "groom"], 4, multibinary=True)
    assert kept.tolist() == [[1, 0], [1, 0], [1, 1], [0, 1]]


def test_behaviours_of_two_subjects_at_once_need_a_subject():
    both = walking(("walk", 0, 3), ("groom", 2, 4), subjects=["rat1", "rat2"])
    both.all_subjects = {"rat1", "rat2"}
    with pytest.raises(
        DataError, match="choose one subject .rat1, rat2. by --subject; for all tog"
    ):
        one_hot(both, ["walk", "groom"], 4)
    alike = walking(("walk", 0, 3), ("groom", 2, 4), subjects=["rat1", "rat1"])
    with pytest.raises(DataError, match="in all; choose --overlaps first or last"):
        one_hot(alike, ["walk", "groom"], 4)


def test_frames_after_the_observation_are_background():
    seen = walking(("walk", 1, 3), n_observed=4)
    found = one_hot(seen, ["walk", "rest"], 6, other="rest")
    assert found.argmax(1).tolist() == [2, 1, 1, 2, 0, 0]
    assert frames_between_bouts(seen, one_hot(seen, ["walk", "rest"], 6)) == 2
    late = walking(("walk", 3, 5), n_observed=4)  # a bout says more than a length does
    assert one_hot(late, ["walk"], 6)[:, 0].tolist() == [1, 1, 1, 0, 0, 1]


def test_a_long_unwatched_end_has_no_labels_of_several_behaviours():
    seen = walking(("walk", 1, 3), n_observed=100)
    table = one_hot(seen, ["walk"], 200, multibinary=True)
    assert table[:100].sum() == 2 and np.isnan(table[100:]).all()


def test_an_observation_of_another_length_is_reported(caplog):
    seen = walking(("walk", 50, 53), n_observed=100, fps=10)
    warn_of_length(seen, "m1", Tracked(0, 101))
    warn_of_length(seen, "m1", Tracked(40, 60))
    assert not caplog.messages
    warn_of_length(seen, "m1", Tracked(20, 100))
    assert "10 s were observed, which are 100 frames at 10 frames a second" in caplog.text
    assert "the tracks of m1 end at frame 120" in caplog.text


def test_bouts_before_the_first_tracked_frame_are_reported(caplog):
    seen = walking(("walk", 1, 3), ("walk", 18, 22))
    warn_of_length(seen, "m1", Tracked(20, 100))
    assert "1 bout (walk) ends before frame 20, where the tracks of m1 begin" in caplog.text


def test_the_separator_that_excel_says_is_used(read):
    (found,) = read('"sep=;"\nclass;start;stop\nwalk;1;2\n')
    assert found.bouts == [("walk", 1, 2)]


MODIFIED = """Observation id,FPS,Subject,Behavior,Behavior type,Modifier #1,Time
mouse1,10,mouse,groom,START,face,0.5
mouse1,10,mouse,groom,START,back,1.0
mouse1,10,mouse,groom,STOP,face,1.5
mouse1,10,mouse,groom,STOP,{stop},2.5
"""
MODIFIED_BOUTS = """Observation id,FPS,Subject,Behavior,Behavior type,Modifier #1,Start (s),Stop (s)
mouse1,10,mouse,groom,STATE,face,0.5,1.5
mouse1,10,mouse,groom,STATE,back,1.0,2.5
"""


@pytest.mark.parametrize("stop", ["back", ""])
def test_modifiers_part_bouts_in_both_exports_of_boris(read, stop):
    tables = [
        one_hot(found, ["groom"], 30)
        for text in (MODIFIED.format(stop=stop), MODIFIED_BOUTS)
        for found in read(text)
    ]
    assert tables[0][:, 1].nonzero()[0].tolist() == list(range(5, 25))
    np.testing.assert_array_equal(*tables)


def test_bouts_beyond_the_end_are_an_error():
    one_hot(walking(("walk", 0, 5)), ["walk"], 4)  # one frame is how programs differ
    with pytest.raises(DataError, match="ends at frame 9, but there are 4 .* frame rate right"):
        one_hot(walking(("walk", 0, 9)), ["walk"], 4)


TABLE = {"n_frames": 4, "a_row_a_frame": True}


@pytest.mark.parametrize("n_frames", [2, 6, 4000])
def test_a_table_of_another_length_is_an_error(n_frames):
    with pytest.raises(
        DataError, match=f"^file.csv: expected {n_frames} rows, one for each frame, found 4$"
    ):
        one_hot(walking(("walk", 1, 3), **TABLE), ["walk"], n_frames)


@pytest.mark.parametrize(
    ("n_frames", "expected", "said"),
    [
        (3, [2, 1, 1], "4 rows for 3 frames; the last row is left out"),
        (5, [2, 1, 1, 2, 0], "4 rows for 5 frames; the last frame counts as unlabelled"),
    ],
)
def test_a_table_of_one_row_more_or_less_is_fitted_with_a_warning(n_frames, expected, said, caplog):
    table = one_hot(walking(("walk", 1, 3), **TABLE), ["walk", "rest"], n_frames, other="rest")
    assert table.argmax(1).tolist() == expected
    assert caplog.messages == [f"file.csv: {said}"]


def test_what_is_written_is_what_training_reads(tmp_path):
    table = one_hot(walking(("walk", 1, 3)), ["groom, or rest", "walk"], 4)
    path = tmp_path / "s.csv"
    path.write_text(one_hot_text(table, ["background", "groom, or rest", "walk"]))
    labels = read_labels(path)
    assert labels.values.tolist() == [0, 2, 2, 0]
    assert labels.names == ["background", "groom, or rest", "walk"]


# ------------------------------------------------------------------------------ sessions


def test_a_session_is_the_one_that_begins_with_the_name():
    sessions = {"mouse1DLC_resnet50_shuffle1": 0, "mouse10DLC_resnet50_shuffle1": 0, "rat": 0}
    found = match_sessions([Annotation(["mouse1"], []), Annotation(["obs", "rat"], [])], sessions)
    assert set(found) == {"mouse1DLC_resnet50_shuffle1", "rat"}


def test_a_session_that_is_called_so_goes_before_one_that_begins_so():
    assert set(match_sessions([Annotation(["m"], [])], {"m-copy": 0, "m": 0})) == {"m"}


def matches(names: str, sessions: str) -> set[str]:
    """The sessions that an annotation of these names, the best first, is about."""
    annotation = Annotation(names.split(), [], source="file.csv")
    return set(match_sessions([annotation], dict.fromkeys(sessions.split())))


def test_a_name_is_followed_by_another_part_or_by_the_trackers():
    assert matches("mouse1", "mouse1_day1 mouse10 mouse1b") == {"mouse1_day1"}
    assert matches("rat", "rats ratDLC_resnet50_x") == {"ratDLC_resnet50_x"}
    for session in ("mouse10", "mouse1b", "mouse"):
        with pytest.raises(DataError, match="none of the sessions is called mouse1, or begins so"):
            matches("mouse1", session)


def test_a_session_whose_tracker_added_to_the_name_is_called_so():
    assert matches("m1", "m1_day2DLC_resnet50 m1DLC_resnet50") == {"m1DLC_resnet50"}


def test_the_longest_of_an_annotations_names_decides():
    assert matches("rat rat_day2", "rat_day1_cam rat_day2_cam") == {"rat_day2_cam"}


@pytest.mark.parametrize("sessions", ["m1_day1 m1_day2", "m1DLC_shuffle1 m1DLC_shuffle2"])
def test_a_name_that_fits_several_sessions_is_an_error(sessions):
    first, second = sessions.split()
    with pytest.raises(
        DataError, match=f"file.csv: expected m1 to fit one session, but it fits {first}, {second}"
    ):
        matches("m1", sessions)


def test_annotations_of_no_session_or_of_the_same_one_are_named():
    with pytest.raises(
        DataError, match="none of the sessions is called m, or begins so; there are"
    ):
        match_sessions([Annotation(["m"], [])], {"rat": 0})
    with pytest.raises(DataError, match="is about rat already"):
        match_sessions([Annotation(["rat"], []), Annotation(["rat"], [])], {"rat": 0})


def test_a_file_without_events_of_the_subject_has_sessions_without_bouts(read):
    first, second = read(BORIS_8, subject="rat2")
    assert first.bouts == [("walk", 6, 15)] and first.all_subjects == {"rat1", "rat2"}
    assert second.bouts == [] and second.all_subjects == {"rat1"}


def test_a_table_without_bouts_is_of_a_session(read):
    (found,) = read("class,start,stop\n")
    assert found.names == ["mouse1"] and found.bouts == []


def test_a_subject_is_refused_where_none_is_read(read):
    with pytest.raises(DataError, match="--subject is for files of .*boris.*, but this is names"):
        read("frame,class\n0,rest\n1,walk\n2,walk\n", subject="rat1")
    with pytest.raises(DataError, match="--subject needs a column subject, found none"):
        read("class,start,stop\nwalk,1,2\n", subject="rat1")
