"""The report is one file that a browser shows without complaint, at any number of frames."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daart_fast.api.model import read_hparams
from daart_fast.config import with_defaults
from daart_fast.data.from_config import build_data_generator
from daart_fast.data.sessions import Session
from daart_fast.errors import DataError
from daart_fast.eval import Smoother, summarise
from daart_fast.eval.new_sessions import NewSession, NewSessions
from daart_fast.experiment.stored import export_hparams
from daart_fast.report import write_report
from daart_fast.report.collect import BLOCK, CHUNK

NAMES = ["background", "rest", "<!--<script>walk & run", "</script><b>groom"]


def browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a finished model of some sessions, of so many frames each."""

    def make(
        name: str,
        n_frames: int,
        labelled: Sequence[str] = ("m1", "m2", "m3"),
        sessions: int = 2,
        gaps: bool = False,
        **settings: Any,
    ) -> Path:
        root = tmp_path_factory.mktemp(name)
        draw = np.random.default_rng(0)
        classes = np.repeat(draw.integers(1, 4, n_frames // 50 + 1), 50)[:n_frames]
        labels = np.where(np.arange(n_frames) % 400 < 50, 0, classes) if gaps else classes
        for kind in ("features", "labels-hand"):
            (root / kind).mkdir()
        folder = root / "version_0"
        folder.mkdir()
        for session in ("m1", "m2", "m3")[:sessions]:
            np.save(root / "features" / f"{session}.npy", draw.random((n_frames, 1), np.float32))
            lines = [f"{i}{',0' * c},1{',0' * (3 - c)}" for i, c in enumerate(labels.tolist())]
            text = "\n".join(["," + ",".join(NAMES), *lines])
            if session in labelled:
                (root / "labels-hand" / f"{session}.csv").write_text(text)
            states = np.eye(4)[np.where(draw.random(n_frames) < 0.1, 1, classes)] * 0.8 + 0.05
            np.save(folder / f"{session}_states.npy", states.astype(np.float32))
        hparams = with_defaults(
            {
                "data_dir": str(root),
                "input_type": "features",
                "expt_ids": ["m1"],
                "expt_ids_test": ["m2"],
                "sequence_length": 100,
                "trial_splits": "3;1;0;0",
                "fps": 25.0,
                **settings,
            }
        )
        summarise(hparams, build_data_generator(hparams), folder)
        export_hparams(hparams, folder / "hparams.yaml")
        (folder / "metrics.csv").write_text(
            "epoch,batch,trial,dataset,tr_loss,val_loss\n"
            "1,0,-1,-1,1.0,\n1,0,-1,-1,,1.1\n2,0,-1,-1,0.5,\n2,0,-1,-1,,0.7\n"
        )
        return folder

    return make


@pytest.fixture(scope="module")
def small(models) -> Path:
    return models("small", 40_000)


def data_of(report: Path) -> dict[str, Any]:
    return json.loads(block_of(report, "data"))


def block_of(report: Path, id: str) -> str:
    return re.search(rf'id="{id}">(.*?)</script>', report.read_text(), re.DOTALL)[1]


# ------------------------------------------------------------------------------ the file


def test_a_report_is_called_html(tmp_path):
    for name in ("labels.csv", "report"):
        with pytest.raises(DataError, match=f"{name}: expected a name that ends in .html or .htm"):
            write_report([], tmp_path / name)
    for name in ("report.htm", "REPORT.HTML"):
        write_report([], tmp_path / name)
        assert (tmp_path / name).is_file()


@pytest.mark.slow
def test_a_report_is_one_file_without_links_to_anything_outside(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import""", text)
    assert links == [("data:,", "")]
    assert set(re.findall(r"https?://[^\s\"')]*", text)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.slow
def test_a_report_holds_settings_scores_curves_bouts_and_sessions(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    (model,) = data_of(tmp_path / "report.html")["models"]
    assert model["classes"] == NAMES and model["settings"]["fps"] == "25.0"
    assert model["scores"]["test"]["macro_f1"] > 0.5
    assert {(curve["metric"], curve["split"]) for curve in model["curves"]} == {
        ("loss", "train"), ("loss", "val")
    }  # fmt: skip
    wrong = [bout["wrong"] for bout in model["worst"]]
    assert wrong == sorted(wrong, reverse=True) and len(wrong) == 30
    assert {bout["session"] for bout in model["worst"]} == {"m2"}  # the session held out
    assert model["chosen"] and "learning_rate" not in model["chosen"]
    assert model["settings"]["causal"] == "false" and "data_dir" not in model["settings"]
    assert model["titles"]["test"] == ["held-out videos", "held-out videos (never trained on)"]
    m1, m2 = model["sessions"]
    assert m1["split"] == "train" and m2["split"] == "test"
    assert m2["splits"] == [[1], [40_000]]  # every frame of it is of the split "test"
    assert m2["scores"]["test"]["macro_f1"] == model["scores"]["test"]["macro_f1"]
    classes, lengths = model["sessions"][0]["truth"][0]
    assert sum(lengths) == 40_000 and set(classes) <= {1, 2, 3}


def test_a_report_names_no_folder_of_the_machine(small, tmp_path):
    write_report([small], tmp_path / "a.html")
    write_report([small], tmp_path / "b.html", data_dir=tmp_path / "none" / "data")
    write_report([small, small], tmp_path / "c.html")
    for name in "abc":
        text = (tmp_path / f"{name}.html").read_text()
        assert str(tmp_path.parent) not in text and str(small.parents[1]) not in text
    (model,) = data_of(tmp_path / "b.html")["models"]
    assert model["note"].startswith("Without hand labels: features: expected a folder")


def test_several_models_are_named_by_what_tells_them_apart(small, models, tmp_path):
    folder = models("second", 1_000)
    write_report([small, folder], tmp_path / "report.html")
    names = [model["name"] for model in data_of(tmp_path / "report.html")["models"]]
    assert names == [small.parent.name, folder.parent.name]


def headline_of(folder: Path, report: Path) -> dict[str, Any]:
    write_report([folder], report)
    return data_of(report)["models"][0]["headline"]


def test_one_score_of_held_out_videos_stands_on_top(small, tmp_path):
    found = headline_of(small, tmp_path / "report.html")
    score = json.loads((small / "summary.json").read_text())["scores"]["test"]["macro_f1"]
    assert found["macro_f1"] == found["pooled"] == score
    assert (found["title"], found["sessions"], found["spread"]) == ("held-out videos", 1, None)


def test_over_several_videos_that_score_is_a_mean_with_its_spread(models, tmp_path):
    folder = models("spread", 3_000, expt_ids=["m3"], expt_ids_test=["m1", "m2"], sessions=3)
    found = headline_of(folder, tmp_path / "report.html")
    sessions = json.loads((folder / "summary.json").read_text())["sessions"]
    alone = [sessions[name]["scores"]["test"]["macro_f1"] for name in ("m1", "m2")]
    assert found["sessions"] == 2 and found["macro_f1"] == pytest.approx(np.mean(alone))
    assert found["spread"]["sd"] == pytest.approx(np.std(alone, ddof=1))
    assert [found["spread"][key] for key in ("lowest", "highest")] == sorted(alone)


def test_without_held_out_videos_no_score_stands_on_top(models, tmp_path):
    folder = models("pieces", 2_000, expt_ids=["m1", "m2"], expt_ids_test=None)
    found = headline_of(folder, tmp_path / "report.html")
    assert found == {"why": "no video with hand labels was held out"}


def test_probabilities_come_back_from_their_chunks(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    states = np.load(small / "m1_states.npy")
    lines = block_of(tmp_path / "report.html", "fine-0-0").split("\n")
    assert len(lines) == -(-len(states) // CHUNK)
    parts = [np.frombuffer(gzip.decompress(base64.b64decode(line)), np.uint8) for line in lines]
    found = np.concatenate(
        [np.cumsum(part.reshape(-1, 4), axis=0, dtype=np.uint8) for part in parts]
    )
    np.testing.assert_allclose(found / 255, states, atol=0.5 / 255 + 1e-6)
    coarse = base64.b64decode(
        data_of(tmp_path / "report.html")["models"][0]["sessions"][0]["coarse"]
    )
    assert len(coarse) == 4 * -(-len(states) // BLOCK)


def test_no_name_is_read_as_html(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    data = block_of(tmp_path / "report.html", "data")
    assert "<" not in data and data.isascii()  # U+2028, too, comes as an escape
    assert json.loads(data)["models"][0]["classes"] == NAMES


def test_worst_bouts_are_of_whole_sessions_or_there_are_none(models, tmp_path):
    folder = models("unlabelled", 2_000, labelled=["m1"])  # the test session has no labels
    write_report([folder], tmp_path / "report.html")
    (model,) = data_of(tmp_path / "report.html")["models"]
    assert "val" in model["scores"] and "test" not in model["scores"]
    assert model["worst"] == []  # bouts of pieces of m1 are cut where the pieces end


def test_without_the_data_a_report_is_without_labels(small, tmp_path):
    shutil.copytree(small, tmp_path / "version_0")
    write_report([tmp_path / "version_0"], tmp_path / "report.html", data_dir=tmp_path / "none")
    (model,) = data_of(tmp_path / "report.html")["models"]
    assert model["note"].startswith("Without hand labels") and model["worst"] == []


def test_sessions_that_were_labelled_later_are_named(small, tmp_path):
    project = tmp_path / "data"
    shutil.copytree(read_hparams(small / "hparams.yaml")["data_dir"], project)
    for path in (project / "features" / "m1.npy", project / "labels-hand" / "m1.csv"):
        shutil.copy(path, path.with_name(path.name.replace("m1", "m9")))
    write_report([small], tmp_path / "report.html", project)
    (model,) = data_of(tmp_path / "report.html")["models"]
    assert "Hand labels of m9 are there, and this training did not have them" in model["note"]


def new_sessions(model: Path, folder: Path, labelled: bool) -> NewSessions:
    """The states of m2 as those of a session z that no training has seen, in a folder."""
    folder.mkdir()
    states = np.load(model / "m2_states.npy")
    np.save(folder / "z_states.npy", states)
    labels = states.argmax(1) if labelled else None
    session = Session("z", np.empty((len(states), 0), np.float32), [], labels_strong=labels)
    splits = {"new": np.ones(len(states), dtype=bool)}
    return NewSessions(folder, [NewSession(session, splits)], NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [False, True])
def test_a_report_on_new_sessions_shows_theirs_and_not_the_models(small, tmp_path, labelled):
    new = new_sessions(small, tmp_path / "predictions", labelled)
    results = tmp_path / "results"
    results.mkdir()
    hparams = read_hparams(small / "hparams.yaml")
    summarise(hparams, new, results, new.folder, Smoother(), tables=False)
    write_report([small], tmp_path / "report.html", results={small: results}, new=new)
    (model,) = data_of(tmp_path / "report.html")["models"]
    assert model["data"] == f"{tmp_path.name}/predictions (new videos)"
    assert model["name"].endswith("version_0")
    (session,) = model["sessions"]
    assert session["id"] == "z" and session["frames"] == 40_000
    assert (session["truth"] is not None) == labelled == ("new" in model["scores"])
    assert labelled == ("macro_f1" in model["headline"])
    assert model["before"]["title"] == "held-out videos"  # what the model had when it was trained
    assert {(row[0], row[1]) for row in model["time_budget"]} == {("z", name) for name in NAMES[1:]}
    assert sum(row[2] for row in model["time_budget"]) == pytest.approx(1)


def test_a_model_that_was_not_evaluated_is_named(tmp_path):
    with pytest.raises(DataError, match="summary.json: no such file; daart-fast evaluate writes"):
        write_report([tmp_path], tmp_path / "report.html")


# ------------------------------------------------------------------------------ in a browser


class Page:
    """What Chromium made of a page: its document after the scripts, and the console's lines."""

    def __init__(self, page: Path, script: str = "", link: str = "", picture: Path | None = None,
                 width: int = 1280):  # fmt: skip
        copy = page.with_name(f"{page.stem}-tried.html")
        # on a busy machine virtual time may end before the next animation frame
        copy.write_text(page.read_text() + f"<script>{script}\nsetTimeout(draw, 3500);</script>")
        options = (
            "headless=new no-sandbox disable-gpu disable-dev-shm-usage hide-scrollbars "
            f"window-size={width},1500 enable-logging=stderr log-level=0 virtual-time-budget=4000"
        )
        command = [str(browser()), *(f"--{option}" for option in options.split())]
        command += [f"--user-data-dir={page.parent / 'profile'}"]
        command += [f"--screenshot={picture}" if picture else "--dump-dom", copy.as_uri() + link]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        self.document = done.stdout
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    def text(self, id: str) -> str:
        return re.search(rf'id="{id}"[^>]*>(.*?)<', self.document, re.DOTALL)[1]


def seconds_of(text: str) -> list[float]:
    """The times in a text, as ``26:40.00`` or ``1:02:03.00``, in seconds."""
    found = []
    for clock in re.findall(r"\d+(?::\d\d)+\.\d\d", text):
        *hours, minutes, seconds = map(float, clock.split(":"))
        found.append(3600 * sum(hours) + 60 * minutes + seconds)
    return found


needs_browser = pytest.mark.skipif(browser() is None, reason="no Chromium to show the report with")

WHEEL = """
const c = document.getElementById("canvas"), box = c.getBoundingClientRect();
const at = {clientX: box.left + 700, clientY: box.top + 40, cancelable: true, ctrlKey: true};
for (let i = 0; i < 8; i++) c.dispatchEvent(new WheelEvent("wheel", {deltaY: -100, ...at}));
const hoverThere = () => c.dispatchEvent(new PointerEvent("pointermove", at));
hoverThere();
setTimeout(hoverThere, 1500);
"""


@pytest.mark.slow
@needs_browser
def test_a_browser_shows_it_without_complaint(small, tmp_path):
    write_report([small, small], tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.console == []
    assert 'data-ready="yes"' in page.document
    assert page.text("where") == "0:00.00 to 26:40.00 of 26:40.00"
    assert page.document.count("<tr") > 100 and page.document.count("<polyline") == 2
    shown = page.document.split("</main>")[0]  # where a name is text, whatever it is
    assert "<b>groom" not in shown and "&lt;!--&lt;script&gt;walk &amp; run" in shown
    Page(tmp_path / "report.html", picture=tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 20_000


@pytest.mark.slow
@needs_browser
def test_the_wheel_zooms_and_the_cursor_shows_probabilities(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    page = Page(tmp_path / "report.html", WHEEL)
    assert page.console == []
    first, last, _ = seconds_of(page.text("where"))
    assert 0 < last - first < 20
    tip = re.search(r'id="tip"[^>]*>(.*?)</div></div>', page.document, re.DOTALL)[1]
    values = [float(value) for value in re.findall(r"(\d\.\d\d)</div>", tip + "</div>")]
    frame = int(re.search(r"frame (\d+)", tip)[1])
    np.testing.assert_allclose(values, np.load(small / "m2_states.npy")[frame, 1:], atol=0.011)


@pytest.mark.slow
@needs_browser
def test_the_wheel_scrolls_the_page_unless_the_plot_has_the_focus(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    wheel = WHEEL.replace("ctrlKey: true", "ctrlKey: false")
    page = Page(tmp_path / "report.html", wheel)
    assert page.text("where") == "0:00.00 to 26:40.00 of 26:40.00"
    page = Page(tmp_path / "report.html", f"byId('canvas').focus();{wheel}")
    first, last, _ = seconds_of(page.text("where"))
    assert last - first < 1600


@pytest.mark.slow
@needs_browser
def test_the_tooltip_is_of_the_frame_under_the_pointer_after_a_zoom(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    said = "document.body.dataset.frame = Math.floor(frameOf(700));"
    zoom = f"setTimeout(() => {{ zoomTo(1000, 3000); draw(); {said} }}, 1800);"
    page = Page(tmp_path / "report.html", WHEEL + zoom)
    tip = re.search(r'id="tip"[^>]*>(.*?)</div></div>', page.document, re.DOTALL)[1]
    assert re.search(r"frame (\d+)", tip)[1] == re.search(r'data-frame="(\d+)"', page.document)[1]


@pytest.mark.slow
@needs_browser
def test_a_narrow_window_is_not_scrolled_sideways(small, tmp_path):
    write_report([small, small], tmp_path / "report.html")
    said = "document.body.dataset.wide = document.documentElement.scrollWidth - innerWidth;"
    page = Page(tmp_path / "report.html", f"setTimeout(() => {{ {said} }}, 500);", width=500)
    assert re.search(r'data-wide="(-?\d+)"', page.document)[1] == "0"


@pytest.mark.slow
@needs_browser
def test_the_top_says_the_score_of_videos_held_out_and_what_nobody_may_miss(small, tmp_path):
    folder = tmp_path / "version_0"
    shutil.copytree(small, folder)
    summary = json.loads((folder / "summary.json").read_text())
    summary["cautions"] = ["No video was held out."]
    (folder / "summary.json").write_text(json.dumps(summary))
    write_report([folder], tmp_path / "report.html", results={folder: folder})
    page = Page(tmp_path / "report.html")
    score = summary["scores"]["test"]["macro_f1"]
    assert f"<p>macro-F1 {score:.3f} of a single video (held-out videos)," in page.document
    assert "<li>No video was held out.</li>" in page.document
    assert (
        '<option value="m2">m2 (held out)</option><option value="m1">m1 (trained on)</option>'
        in page.document
    )
    assert page.document.count('aria-label="macro-F1: The mean') >= 2  # its meaning, on hover


@pytest.mark.slow
@needs_browser
def test_a_term_shows_its_meaning_on_focus(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    script = """
    const bubble = document.getElementById("meaning"), found = [bubble.hidden];
    document.querySelector("#scores .term").focus();
    found.push(bubble.hidden, bubble.textContent);
    window.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
    document.body.dataset.found = [...found, bubble.hidden].join("|");
    """
    page = Page(tmp_path / "report.html", script)
    assert page.console == []
    assert re.search(r'data-found="([^"]*)"', page.document)[1] == (
        "true|false|Frames with a hand label that is scored.|true"
    )


@pytest.mark.slow
@needs_browser
def test_on_paper_the_plot_has_a_width_that_fits_and_is_drawn_for_it(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    said = "document.body.dataset.found = [canvas.clientWidth, canvas.width].join();"
    page = Page(tmp_path / "report.html", f'window.dispatchEvent(new Event("beforeprint")); {said}')
    assert 'data-found="660,1320"' in page.document


@pytest.mark.slow
@needs_browser
def test_the_legend_names_what_is_drawn_and_nothing_else(small, models, tmp_path):
    gaps = models("gaps", 2_000, gaps=True)
    for folder, expected in ((small, False), (gaps, True)):
        write_report([folder], tmp_path / "report.html")
        document = Page(tmp_path / "report.html").document
        legend = re.search(r'id="legend">(.*?)</div>', document, re.DOTALL)[1]
        assert ("not scored" in legend) == expected
        assert ">background<" not in legend and "groom" in legend


@pytest.mark.slow
@needs_browser
def test_a_behaviour_that_is_absent_is_not_drawn_as_unscored(models, tmp_path):
    folder = models("several", 2_000, classifier_type="multibinary")
    write_report([folder], tmp_path / "report.html")
    said = (
        "document.body.dataset.found = [-1, 0, 1].map((v) => String(view.rows[1].colour(v))).join()"
    )
    page = Page(tmp_path / "report.html", said)
    assert page.console == []
    unscored, absent, present = re.search(r'data-found="([^"]*)"', page.document)[1].split(",")
    assert (unscored, absent) == ("#dddddd", "null") and present.startswith("#")


@pytest.mark.slow
@needs_browser
def test_a_session_of_another_model_only_shows_that_model(small, models, tmp_path):
    other = models("third", 1_000, sessions=3, expt_ids=["m1", "m2"], expt_ids_test=["m3"])
    write_report([small, other], tmp_path / "report.html")
    page = Page(tmp_path / "report.html", link="#m3")
    assert page.console == [] and page.text("where").endswith("of 0:40.00")
    assert f"<p>2: {other.parent.name}: macro-F1" in page.document


@pytest.mark.slow
@needs_browser
def test_a_link_opens_at_a_bout(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    page = Page(tmp_path / "report.html", link="#m1/1000/1250")
    assert page.text("where") == "0:40.00 to 0:50.00 of 26:40.00"


@pytest.mark.slow
@needs_browser
def test_lines_are_drawn_wherever_a_view_begins(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    points = "document.body.dataset.points = JSON.stringify(linePoints(1))"
    link = f"#m1/{CHUNK}/{CHUNK + 12_000}"  # the first mean is of frames of the chunk before, too
    page = Page(tmp_path / "report.html", f"setTimeout(() => {{ {points}; }}, 2000);", link)
    assert page.console == []
    found = json.loads(re.search(r'data-points="([^"]*)"', page.document)[1])
    (first, _), (second, _) = found[:2]
    step = round(second - first)
    begin = round(first - step / 2)
    assert begin < CHUNK < begin + step
    means = np.load(small / "m1_states.npy")[begin : begin + step * (len(found) - 1), 1]
    expected = means.reshape(-1, step).mean(1)
    np.testing.assert_allclose([value for _, value in found[:-1]], expected, atol=0.003)


@pytest.mark.slow
@needs_browser
def test_a_click_on_a_worst_bout_zooms_to_it(small, tmp_path):
    write_report([small], tmp_path / "report.html")
    page = Page(tmp_path / "report.html", 'document.querySelector("tr.go").click();')
    worst = data_of(tmp_path / "report.html")["models"][0]["worst"][0]
    first, last, _ = seconds_of(page.text("where"))
    assert first < worst["start"] / 25 < worst["stop"] / 25 < last


@pytest.mark.slow
@needs_browser
def test_a_million_frames_do_not_freeze_it(tmp_path):
    n_frames, draw = 1_000_000, np.random.default_rng(0)
    classes = np.repeat(draw.integers(1, 4, n_frames // 50), 50)
    states = np.eye(4)[np.where(draw.random(n_frames) < 0.1, 1, classes)] * 0.8 + 0.05
    states += draw.normal(0, 0.02, states.shape)
    folder = tmp_path / "version_0"
    hparams = {"data_dir": str(tmp_path), "expt_ids": ["m1"], "input_size": 1, "output_size": 4}
    export_hparams(with_defaults(hparams), folder / "hparams.yaml")
    np.save(folder / "m1_states.npy", states.astype(np.float32))
    summary: dict[str, Any] = {"label_names": NAMES, "fps": 25, "smoothing": {"method": None}}
    summary |= {"scores": {}, "sessions": {"m1": {}}}
    (folder / "summary.json").write_text(json.dumps(summary))

    write_report([folder], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 10e6
    strokes = """
    let most = 0;
    for (const [first, last] of [[0, 1e6], [1000, 899000], [5000, 44000], [7000, 7100]]) {
      let n = 0;
      const count = (name) => { pen[name] = (...all) => { n++; CanvasRenderingContext2D.prototype[name].apply(pen, all); }; };
      ["fillRect", "lineTo"].forEach(count);
      zoomTo(first, last);
      draw();
      most = Math.max(most, n);
    }
    document.body.dataset.strokes = most;
    """  # noqa: E501
    page = Page(tmp_path / "report.html", strokes)
    assert page.console == []
    assert page.text("where").endswith("of 11:06:40.00")
    assert int(re.search(r'data-strokes="(\d+)"', page.document)[1]) < 12 * 1280  # a few a pixel
