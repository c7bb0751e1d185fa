"""Claiming a folder for an experiment, knowing it again, and its log."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daart_fast.config import KEYS, with_defaults
from daart_fast.errors import ConfigError
from daart_fast.experiment.claim import (
    all_settings,
    clean_tt_dir,
    console_log,
    create_tt_experiment,
    print_hparams,
)
from daart_fast.experiment.stored import export_hparams
from daart_fast.files import changed_at


@pytest.fixture
def hparams(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that makes hparams as test-tube hands them to a trial."""

    def make(**changes: Any) -> dict[str, Any]:
        base = {"expt_ids": "a;b", "data_dir": "data", "results_dir": str(tmp_path / "new" / "dir")}
        defaults = {name: key.default for name, key in KEYS.items()}
        return {**defaults, **base, "optimize_parallel": print, **changes}

    return make


def finish(hparams: dict[str, Any]) -> None:
    export_hparams({**hparams, "training_completed": True})
    zipfile.ZipFile(Path(hparams["tt_version_dir"]) / "best_val_model.pt", "w").close()


def test_a_version_folder_is_made_where_daart_would_make_it(hparams, tmp_path):
    made, experiment = create_tt_experiment(hparams())
    folder = tmp_path / "new" / "dir" / "multi-0" / "dtcn" / "test" / "version_0"
    assert Path(made["tt_version_dir"]) == folder == experiment.folder
    assert made["version"] == 0
    assert (tmp_path / "new" / "dir" / "multi-0" / "expt_info.csv").read_text() == "expt\na\nb\n"


def test_one_sessions_folder_bears_its_name(hparams, tmp_path):
    made, _ = create_tt_experiment(hparams(expt_ids="mouse 1"))
    assert Path(made["expt_dir"]) == tmp_path / "new" / "dir" / "mouse 1"


@pytest.mark.parametrize("key", ["tt_experiment_name", "experiment_name", "backbone", "expt_ids"])
@pytest.mark.parametrize("name", ["../../../x", "/x", "..", "a\0b", "C:x"])
def test_no_name_leads_out_of_the_results_folder(hparams, tmp_path, key, name):
    with pytest.raises(ConfigError):
        create_tt_experiment(hparams(**{key: name}))
    assert not list(tmp_path.rglob("version_*"))


def test_ids_become_lists_and_functions_are_left_out(hparams):
    made, _ = create_tt_experiment(hparams(expt_ids_test="c"))
    assert made["expt_ids"] == ["a", "b"]
    assert made["expt_ids_test"] == ["c"]
    assert made["expt_ids_val"] is None
    assert not any(callable(value) for value in made.values())


def test_hparams_are_on_file_before_training_starts(hparams):
    made, _ = create_tt_experiment(hparams())
    stored = yaml.safe_load((Path(made["tt_version_dir"]) / "hparams.yaml").read_text())
    assert stored["training_completed"] is False
    assert stored["n_lags"] == 4


def test_a_finished_experiment_is_told_of_and_not_repeated(hparams, capsys):
    made, experiment = create_tt_experiment(hparams())
    finish(made)
    experiment.close()
    assert create_tt_experiment(hparams()) == (None, None)
    assert f"its model is in {made['tt_version_dir']}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said_so"),
    [(None, False), ("labels-hand/b.csv", True), ("markers/a.csv", True), ("tasks/a.csv", False)],
)
def test_data_that_are_newer_than_a_finished_model_are_told(
    hparams, tmp_path, capsys, changed, said_so
):
    for name in ("markers/a.csv", "markers/b.csv", "labels-hand/b.csv", "tasks/a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    made, experiment = create_tt_experiment(hparams(data_dir=str(tmp_path)))
    finish(made)
    experiment.close()
    weights = Path(made["tt_version_dir"]) / "best_val_model.pt"
    if changed:  # a tick of the file system's clock after the weights
        while changed_at(tmp_path / changed) <= changed_at(weights):
            (tmp_path / changed).write_text("2")
    assert create_tt_experiment(hparams(data_dir=str(tmp_path))) == (None, None)
    out = capsys.readouterr().out
    folder = made["tt_version_dir"]
    assert (f"{tmp_path / str(changed)}: newer than the model in {folder}" in out) == said_so
    assert ("newer than" in out) == said_so


def test_another_data_folder_is_another_experiment_unless_the_first_is_gone(hparams, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    made, experiment = create_tt_experiment(hparams(data_dir=str(first)))
    finish(made)
    experiment.close()
    (tmp_path / "link").symlink_to(first)
    assert create_tt_experiment(hparams(data_dir=str(tmp_path / "link"))) == (None, None)
    other, experiment = create_tt_experiment(hparams(data_dir=str(second)))
    assert other["version"] == 1
    finish(other)
    experiment.close()
    shutil.rmtree(first)  # as where a project has moved
    assert create_tt_experiment(hparams(data_dir=str(tmp_path / "third"))) == (None, None)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"random")])
def test_a_finished_experiment_whose_weights_are_broken_is_told_of_and_done_again(
    hparams, capsys, damage
):
    made, experiment = create_tt_experiment(hparams())
    finish(made)
    experiment.close()
    weights = Path(made["tt_version_dir"]) / "best_val_model.pt"
    damage(weights)
    left = {path: path.read_bytes() for path in weights.parent.iterdir()}
    again, _ = create_tt_experiment(hparams())
    assert again["version"] == 1
    out = capsys.readouterr().out
    assert f"{weights}: " in out and "it is trained again, in another folder" in out
    assert {path: path.read_bytes() for path in weights.parent.iterdir()} == left


@pytest.mark.parametrize(
    "change", [{"max_epochs": 3}, {"weight_classes": False}, {"ignore_class": -100}]
)
def test_an_experiment_that_differs_in_any_key_is_another_one(hparams, change):
    made, experiment = create_tt_experiment(hparams())
    finish(made)
    experiment.close()
    other, _ = create_tt_experiment(hparams(**change))
    assert other["version"] == 1


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"plot_train_curves": False}])
def test_where_and_how_it_is_shown_makes_no_other_experiment(hparams, change):
    made, experiment = create_tt_experiment(hparams())
    finish(made)
    experiment.close()
    assert create_tt_experiment(hparams(**change)) == (None, None)


def test_failure_14_an_interrupted_experiment_is_taken_up_again(hparams, capsys):
    made, experiment = create_tt_experiment(hparams())
    experiment.close()  # as when its process ends
    again, _ = create_tt_experiment(hparams())
    assert again["tt_version_dir"] == made["tt_version_dir"]
    assert "going on with the interrupted training" in capsys.readouterr().out


def test_without_resume_an_interrupted_experiment_is_left_and_a_new_one_made(hparams):
    create_tt_experiment(hparams())[1].close()
    assert create_tt_experiment(hparams(resume=False))[0]["version"] == 1


def test_an_experiment_at_work_is_not_taken_up(hparams):
    made, experiment = create_tt_experiment(hparams())
    assert create_tt_experiment(hparams())[0]["version"] == 1
    assert experiment.folder == Path(made["tt_version_dir"])


def test_cleaning_keeps_every_result(hparams):
    made, experiment = create_tt_experiment(hparams())
    folder = Path(made["tt_version_dir"])
    for name in ("best_val_model.pt", "metrics.csv", "a_states.npy", "checkpoint.pt"):
        (folder / name).touch()
    clean_tt_dir(made)
    experiment.close()
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["a_states.npy", "best_val_model.pt", "hparams.yaml", "metrics.csv"]


def test_settings_other_than_the_defaults_are_printed(hparams, capsys):
    chosen, _ = create_tt_experiment(hparams(n_lags=7, dropout=0.1, gpus_vis=0, expt_ids_test="c"))
    capsys.readouterr()
    print_hparams(chosen)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "settings other than the defaults:"
    assert lines.pop() == ""
    assert f"all settings are in {chosen['tt_version_dir']}/hparams.yaml" in lines.pop()
    assert sorted(lines) == [
        "  data_dir: data",
        "  expt_ids: a, b",
        "  expt_ids_test: c",
        "  n_lags: 7",
        f"  results_dir: {chosen['results_dir']}",
    ]


def test_settings_are_printed_before_a_folder_is_claimed_too(capsys):
    print_hparams({"expt_ids": "a;b", "device": "cuda", "gpus_vis": 1, "n_lags": 4})
    lines = ["settings other than the defaults:", "  expt_ids: a, b", "  device: cuda"]
    assert capsys.readouterr().out.splitlines() == [*lines, "  gpus_vis: 1", ""]


def test_every_setting_is_spelled_by_file():
    text = all_settings(with_defaults({"expt_ids": ["a"]}))
    assert text.index("data:") < text.index("expt_ids: ['a']") < text.index("model:")
    assert text.index("train:") < text.index("learning_rate: 0.0001")


# ------------------------------------------------------------------------------ console.log


def test_what_is_logged_goes_to_the_log_and_warnings_to_the_terminal_too(tmp_path, capsys):
    with console_log(tmp_path):
        logging.info("quiet")
        logging.warning("loud")
    logging.info("afterwards")
    text = (tmp_path / "console.log").read_text()
    assert "INFO quiet" in text and "WARNING loud" in text and "afterwards" not in text
    err = capsys.readouterr().err
    assert "loud" in err and "quiet" not in err


def test_an_exception_is_logged_with_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), console_log(tmp_path):
        1 / 0  # noqa: B018
    text = (tmp_path / "console.log").read_text()
    assert "the training ends here" in text and "ZeroDivisionError: division by zero" in text


def test_a_training_that_goes_on_appends_to_its_log(tmp_path):
    for message in ("first", "second"):
        with console_log(tmp_path):
            logging.info(message)
    text = (tmp_path / "console.log").read_text()
    assert text.index("first") < text.index("second")
