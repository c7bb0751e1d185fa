"""`compare`, as somebody runs it who has predictions and a table of groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daart_fast.cli import main
from daart_fast.eval import write_predictions

NAMES = ["background", "rest", "walk"]
Write = Callable[..., Path]


def predict(folder: Path, session: str, classes: list[int], fps: float | None = 10.0) -> None:
    """Write what predict would have written of a session."""
    values = np.array(classes)
    states = np.eye(3, dtype=np.float32)[values]
    folder.mkdir(exist_ok=True)
    write_predictions(folder / f"{session}_predictions.csv", states, values, NAMES, fps)


def walks(n_bouts: int, length: int, n_frames: int = 600) -> list[int]:
    """Frames of rest, with so many bouts of walk in them."""
    classes = np.ones(n_frames, dtype=int)
    for start in np.linspace(20, n_frames - 40, n_bouts).astype(int):
        classes[start : start + length] = 2
    return classes.tolist()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "predictions"
    for i, n_bouts in enumerate((2, 3, 4)):
        predict(folder, f"saline{i}", walks(n_bouts, 10))
        predict(folder, f"drug{i}DLC_resnet50", walks(2 * n_bouts, 20))
    return folder


GROUPS = "session,group\n" + "".join(
    f"saline{i},saline\ndrug{i},drug\n" for i in range(3)
)  # the second without the tracker's part of the name


def means(folder: Path, measure: str, name: str, group: str) -> pd.Series:
    table = pd.read_csv(folder / "group_means.csv")
    rows = table[(table["measure"] == measure) & (table["class"] == name)]
    return rows[rows["group"] == group].iloc[0]


def test_means_are_over_animals_with_intervals_and_a_picture(
    results: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(results), "--groups", str(write("groups.csv", GROUPS))]) == 0
    printed = capsys.readouterr().out
    time = means(results, "time", "walk", "saline")
    assert time["mean"] == pytest.approx(100 * np.mean([20, 30, 40]) / 600)
    assert 3.33 < time["low"] < time["mean"] < time["high"] < 6.67  # the lowest, the highest
    drug = means(results, "time", "walk", "drug")
    assert drug["difference"] == pytest.approx(100 * np.mean([60, 90, 120]) / 600)
    assert drug["difference_low"] < drug["difference"] < drug["difference_high"]
    assert means(results, "bouts_per_minute", "walk", "saline")["mean"] == pytest.approx(3)
    assert means(results, "median_bout", "walk", "drug")["mean"] == pytest.approx(2.0)
    assert means(results, "transition", "walk", "drug")["mean"] == 100
    assert "background" not in (results / "group_means.csv").read_text()
    assert "walk, drug" in printed and "caution: saline has 3 animals" in printed
    assert (results / "groups.png").read_bytes().startswith(b"\x89PNG")
    animals = pd.read_csv(results / "group_animals.csv")
    assert len(animals[animals["measure"] == "time"]) == 6 * 2
    assert main(["compare", str(results), "--groups", str(results.parent / "groups.csv")]) == 0


def test_sessions_of_one_animal_count_once(results: Path, write: Write) -> None:
    groups = write(
        "groups.csv",
        "session;group;animal\nsaline0;a;m1\nsaline1;a;m1\nsaline2;a;m2\ndrug0;b;m3\ndrug1;b;m4\n",
    )
    assert main(["compare", str(results), "--groups", str(groups), "--reference", "b"]) == 0
    time = means(results, "time", "walk", "a")
    assert time["animals"] == 2
    assert time["mean"] == pytest.approx(100 * np.mean([50 / 1200, 40 / 600]))
    assert np.isnan(means(results, "time", "walk", "b")["difference"])


def test_a_behaviour_that_an_animal_never_shows_has_no_duration(
    results: Path, write: Write
) -> None:
    predict(results, "calm", [1] * 600)
    groups = write("groups.csv", "session,group\ncalm,a\nsaline0,a\nsaline1,b\n")
    assert main(["compare", str(results), "--groups", str(groups)]) == 0
    duration = means(results, "median_bout", "walk", "a")
    assert (duration["animals"], duration["mean"]) == (1, 1.0)
    assert np.isnan(duration["low"])
    assert means(results, "time", "walk", "a")["mean"] == pytest.approx(100 * 10 / 600)


def test_without_a_frame_rate_durations_are_in_frames(tmp_path: Path, write: Write) -> None:
    folder = tmp_path / "predictions"
    for session in "ab":
        predict(folder, session, walks(3, 15), fps=None)
    groups = write("groups.csv", "session,group\na,x\nb,y\n")
    assert main(["compare", str(folder), "--groups", str(groups)]) == 0
    duration = means(folder, "median_bout", "walk", "x")
    assert (duration["mean"], duration["unit"]) == (15, "frames")
    assert "bouts_per_minute" not in (folder / "group_means.csv").read_text()


def test_several_behaviours_at_once_have_no_transitions(tmp_path: Path, write: Write) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    values = np.zeros((100, 3), dtype=int)
    values[10:30, 1] = values[20:50, 2] = 1
    for session in "ab":
        file = folder / f"{session}_predictions.csv"
        write_predictions(file, values.astype(np.float32), values, NAMES, 10.0)
    groups = write("groups.csv", "session,group\na,x\nb,y\n")
    assert main(["compare", str(folder), "--groups", str(groups)]) == 0
    assert means(folder, "time", "walk", "x")["mean"] == 30
    assert means(folder, "time", "rest", "x")["mean"] == 20
    assert "transition" not in (folder / "group_means.csv").read_text()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("session,grp\nsaline0,a\n", "expected the columns session and group, found session, grp"),
        ("session,group\nsalin0,a\n", "line 2: there is no session 'salin0'"),
        ("session,group\nsaline0,\n", "line 2: expected a value for group"),
        ("session,group\nsaline0,a\nsaline0,b\n", "line 3: saline0 is in line 2 already"),
        ("session,group,animal\nsaline0,a,m\nsaline1,b,m\n", "expected m in one group"),
        ("session,group\n", "expected a row for each session, found none"),
    ],
)
def test_mistakes_in_the_table_are_named(
    results: Path, write: Write, capsys: pytest.CaptureFixture[str], table: str, message: str
) -> None:
    assert main(["compare", str(results), "--groups", str(write("groups.csv", table))]) == 2
    assert message in capsys.readouterr().err
    assert not (results / "group_means.csv").exists()


def test_files_of_the_user_are_not_replaced(
    results: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = str(write("groups.csv", GROUPS))
    write("predictions/group_means.csv", "mine\n")
    assert main(["compare", str(results), "--groups", groups]) == 2
    assert "group_means.csv" in capsys.readouterr().err
    assert (results / "group_means.csv").read_text() == "mine\n"
    assert main(["compare", str(results), "--groups", groups, "--overwrite"]) == 0


def test_a_reference_that_is_no_group_is_refused(
    results: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = str(write("groups.csv", GROUPS))
    assert main(["compare", str(results), "--groups", groups, "--reference", "salin"]) == 2
    assert "did you mean 'saline'" in capsys.readouterr().err
