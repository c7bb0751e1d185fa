"""Files of further programs become bouts, in frames; samples have the layout of real exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daart_fast.convert import one_hot, read_annotations
from daart_fast.errors import DataError

OBSERVER = """Date_Time_Absolute_dmy_hmsf,Time_Relative_hmsf,Time_Relative_sf,Duration_sf,\
Observation,Event_Log,Subject,Behavior,Modifier_1,Event_Type,Comment
,00:00:01.000,1,2,mouse1,log,rat,walk,,State start,
,00:00:03.000,3,0,mouse1,log,rat,walk,,State stop,
,00:00:03.500,3.5,0,mouse1,log,rat,sneeze,,State point,
,00:00:02.000,2,1,mouse2,log,rat,groom,,State start,
,00:00:03.000,3,0,mouse2,log,rat,groom,,State stop,
"""
MANUAL_SCORING = """"Number of header lines:";"6"
"Experiment";"e1"
"Video file";"C:\\videos\\mouse1.mpg"
"";""
"Trial time";"Recording time";"Subject";"Behavior";"Event"
"s";"s";"";"";""
"0.0";"0.0";"Subject 1";"Start";"state start"
"1.0";"1.0";"Subject 1";"walk";"state start"
"2,5";"2,5";"Subject 1";"walk";"state stop"
"3.0";"3.0";"Subject 1";"jump";"point event"
"""
RAW_DATA = """"Number of header lines:";"5"
"Video file";"C:\\videos\\mouse1.mpg"
"";""
"Trial time";"Recording time";"X center";"rearing";"grooming"
"s";"s";"cm";"";""
"0.0";"0.0";"1.5";"0";"0"
"0.1";"0.1";"1.5";"1";"0"
"0.2";"0.2";"-";"-";"-"
"0.3";"0.3";"1.5";"0";"1"
"""
SOLOMON = """Time,Behaviour,Location
0.0,,left
0.2,walk,left
0.4,walk,
0.6,groom,
0.8,,
"""
BINARY_BORIS = "time\twalk\tgroom\n0.0\t0\t0\n0.5\t1\t0\n1.0\t1\t0\n1.5\t0\t1\n2.0\t0\t0\n"
NAMES = "frame,behavior\n0,walk\n1,walk\n2,\n3,groom\n"
FROM_TO = "from,to,type\n1.5,2.5,walk\n3.0,4.0,groom\n"
ELAN = (
    "Tier\tBegin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\tDuration - hh:mm:ss.ms\tAnnotation\n"
    "rat\t00:00:01.000\t00:00:02.500\t00:00:01.500\twalk\n"
    "rat\t00:01:00.000\t00:01:01.000\t00:00:01.000\t\n"
)
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT FORMAT="3.0">
    <HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///videos/mouse1.mp4" MIME_TYPE="video/mp4"/></HEADER>
    <TIME_ORDER>
        <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
        <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2500"/>
    </TIME_ORDER>
    <TIER TIER_ID="rat"><ANNOTATION>
        <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
            <ANNOTATION_VALUE>walk</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>
    </ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>
"""
VIA = """# Exported using VGG Video Annotator
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_a","[""mouse1.mp4""]",0,"[1.0,2.5]","[]","{""1"":""walk""}"
"1_b","[""mouse2.mp4""]",0,"[3.0,4.0]","[]","{""1"":""groom""}"
"""

#: name of the file, text, format, bouts of the first recording at 10 frames a second
SAMPLES = {
    "observer": ("e.csv", OBSERVER, [("walk", 10, 30), ("sneeze", 35, 36)]),
    "manual scoring": ("e.txt", MANUAL_SCORING, [("walk", 10, 25), ("jump", 30, 31)]),
    "ethovision": ("e.txt", RAW_DATA, [("rearing", 1, 2), ("grooming", 3, 4)]),
    "solomon": ("s.csv", SOLOMON, [("walk", 2, 6), ("groom", 6, 8), ("left", 0, 4)]),
    "time-table": ("b.tsv", BINARY_BORIS, [("walk", 5, 15), ("groom", 15, 20)]),
    "names": ("n.csv", NAMES, [("walk", 0, 2), ("groom", 3, 4)]),
    "bouts": ("t.csv", FROM_TO, [("walk", 15, 25), ("groom", 30, 40)]),
    "elan": ("e.txt", ELAN, [("walk", 10, 25), ("rat", 600, 610)]),
    "eaf": ("e.eaf", EAF, [("walk", 10, 25)]),
    "via": ("v.csv", VIA, [("walk", 10, 25)]),
}


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, name: str, **options):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        return read_annotations(tmp_path / name, **options)

    return read


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_program_is_recognised_and_its_bouts_are_frames(read, kind):
    name, text, bouts = SAMPLES[kind]
    first = read(text, name, fps=10)[0]
    assert first.format == {"manual scoring": "observer"}.get(kind, kind)
    assert first.bouts == bouts


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind != "names"])
def test_times_need_a_frame_rate(read, kind):
    name, text, _ = SAMPLES[kind]
    with pytest.raises(DataError, match="expected the frame rate"):
        read(text, name)


# ------------------------------------------------------------------------------ Noldus


def test_an_export_of_the_observer_may_hold_several_observations(read):
    one, two = read(OBSERVER, "e.csv", fps=10)
    assert one.names[0] == "mouse1" and two.names[0] == "mouse2"
    assert two.bouts == [("groom", 20, 30)]


def test_times_of_the_observer_may_be_h_m_s(read):
    text = OBSERVER.replace("Time_Relative_sf", "Time_Absolute")
    assert read(text, "e.csv", fps=10)[0].bouts == [("walk", 10, 30), ("sneeze", 35, 36)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("walk,,State stop", "walk,,State start", "line 3: walk: 'State start' where it should"),
        (",00:00:03.000,3,0,mouse1,log,rat,walk,,State stop,\n", "", "walk starts and never stops"),
        ("rat,walk,,State stop,", "rat", "line 3: expected 11 cells, found 7"),
    ],
)
def test_events_out_of_turn_are_refused_by_their_line(read, old, new, said):
    with pytest.raises(DataError, match=said):
        read(OBSERVER.replace(old, new), "e.csv", fps=10)


def test_ethovision_names_the_video_and_what_it_did_not_see(read):
    (manual,) = read(MANUAL_SCORING, "export.txt", fps=10)
    assert manual.names[0] == "mouse1"
    (raw,) = read(RAW_DATA, "export.txt", fps=10)
    assert "mouse1" in raw.names and (2, 3) in raw.unlabelled
    (chosen,) = read(RAW_DATA, "export.txt", fps=10, classes=["grooming"])
    assert chosen.classes == ["grooming"]


# ------------------------------------------------------------------------------ a row a time


def test_a_time_table_is_scored_from_its_first_time_to_its_last(read):
    (found,) = read("time,walk\n1.0,0\n1.1,1\n1.2,0\n", "b.csv", fps=10)
    assert found.unlabelled == [(0, 10)] and found.n_observed == 13
    assert found.bouts == [("walk", 11, 12)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,walk\n0,0\n0,1\n1,1\n", "line 3: expected time after 0, found 0"),
        ("time,walk\n0,0\n1,1\n" + "2,0\n" * 0 + "x,1\n", "line 4: expected a number, found 'x'"),
    ],
)
def test_times_must_grow(read, text, said):
    with pytest.raises(DataError, match=said):
        read(text, "b.csv", fps=10)


def test_a_table_of_0_and_1_may_number_its_frames(read):
    (found,) = read("frame,background,walk\n10,1,0\n15,0,1\n20,1,0\n", "b.csv")
    assert found.format == "frame-table" and found.classes == ["walk"]
    assert found.bouts == [("walk", 15, 20)] and found.n_observed == 25
    with pytest.raises(DataError, match="line 3: expected frame after 10, found 10"):
        read("frame,walk\n10,0\n10,1\n11,0\n", "b.csv")


def test_what_ethovision_computes_is_no_behaviour(read, caplog):
    text = RAW_DATA.replace("X center", "In zone(center / nose)").replace(";1.5;", ";1;")
    text = text.replace('"1.5"', '"1"')
    (found,) = read(text, "export.txt", fps=10)
    assert found.classes == ["rearing", "grooming"]
    assert "computes these columns of 0 and 1, so they are left out: In zone(center" in caplog.text
    (chosen,) = read(text, "export.txt", fps=10, classes=["In zone(center / nose)"])
    assert chosen.bouts[0][1:] == (0, 2)


# ------------------------------------------------------------------------------ names


def test_names_may_come_without_a_header(read):
    (found,) = read("walk\nwalk\ngroom\nwalk\n", "n.txt")
    assert found.format == "names" and found.n_frames == 4
    assert found.bouts == [("walk", 0, 2), ("groom", 2, 3), ("walk", 3, 4)]


def test_a_row_without_a_name_is_not_scored(read):
    (found,) = read(NAMES, "n.csv")
    assert found.unlabelled == [(2, 3)] and found.n_frames == 4 and found.a_row_a_frame
    (bare,) = read("behavior\nwalk\nwalk\ngroom\n", "n.csv")
    assert bare.bouts == [("walk", 0, 2), ("groom", 2, 3)]


def test_frame_numbers_beside_names_count_up(read):
    with pytest.raises(DataError, match="line 4: expected frame 2, one more .* found 5"):
        read(NAMES.replace("2,\n", "5,\n"), "n.csv")


# ------------------------------------------------------------------------------ time lines


def test_an_eaf_file_with_a_loose_end_is_refused(read):
    with pytest.raises(DataError, match="tier rat: annotation a1 has no start or end; align it"):
        read(EAF.replace('TIME_SLOT_REF2="ts2"', ""), "e.eaf", fps=10)
    with pytest.raises(DataError, match="expected an .eaf file of ELAN"):
        read(EAF.replace("</TIER>", ""), "e.eaf", fps=10)


def test_segments_of_via_belong_to_their_files(read):
    one, two = read(VIA, "v.csv", fps=10)
    assert one.names == ["mouse1"] and two.names == ["mouse2"]
    assert two.bouts == [("groom", 30, 40)]
    with pytest.raises(DataError, match="line 3: expected JSON, found 'walk'"):
        read(VIA.replace('"{""1"":""walk""}"', "walk"), "v.csv", fps=10)


def test_partly_scored_frames_of_several_behaviours_are_missing(read):
    (found,) = read(RAW_DATA, "export.txt", fps=10)
    table = one_hot(found, found.classes, 4, multibinary=True)
    np.testing.assert_array_equal(table, [[0, 0], [1, 0], [np.nan, np.nan], [0, 1]])


# ------------------------------------------------------------------------------ encodings, books


def test_a_text_export_in_utf_16_is_read(tmp_path):
    (tmp_path / "e.txt").write_bytes(MANUAL_SCORING.replace("\n", "\r\n").encode("utf-16"))
    (found,) = read_annotations(tmp_path / "e.txt", fps=10)
    assert found.bouts == SAMPLES["manual scoring"][2]


@pytest.fixture
def workbook(tmp_path):
    """A function that writes sheets of cells, numbers as numbers, into a workbook."""
    openpyxl = pytest.importorskip("openpyxl")

    def write(**sheets: str) -> Path:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, text in sheets.items():
            sheet = book.create_sheet(name)
            mark = ";" if ";" in text else ","
            for line in text.replace("\\\n", "").splitlines():
                cells = [cell.strip('"').replace(",", ".") for cell in line.split(mark)]
                sheet.append([float(c) if c.replace(".", "").isdigit() else c for c in cells])
        book.save(tmp_path / "export.xlsx")
        return tmp_path / "export.xlsx"

    return write


def test_the_sheet_of_labels_in_a_workbook_is_found(workbook):
    path = workbook(Track="Number of header lines:;5\nx;y\n1;2", Scoring=MANUAL_SCORING)
    (found,) = read_annotations(path, fps=10)
    assert found.format == "observer" and found.bouts == SAMPLES["manual scoring"][2]
    assert read_annotations(workbook(Events=OBSERVER), fps=10)[1].bouts == [("groom", 20, 30)]


def test_two_sheets_of_labels_are_an_error(workbook):
    path = workbook(A=OBSERVER, B=OBSERVER)
    with pytest.raises(DataError, match="in one sheet, found them in A, B; save each as a csv"):
        read_annotations(path, fps=10)


def test_what_is_no_workbook_is_refused(tmp_path):
    pytest.importorskip("openpyxl")
    (tmp_path / "e.xlsx").write_text("text")
    with pytest.raises(DataError, match=r"e.xlsx: expected a workbook"):
        read_annotations(tmp_path / "e.xlsx", fps=10)


def test_without_openpyxl_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "e.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"pip install 'daart_fast\[excel\]'; or save the sheet"):
        read_annotations(tmp_path / "e.xlsx", fps=10)
