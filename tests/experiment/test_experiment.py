"""Where models lie, which experiment a folder holds, and the small files beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from daart_fast.config import KEYS, load_config
from daart_fast.errors import ConfigError
from daart_fast.experiment.claim import create_tt_experiment
from daart_fast.experiment.folders import (
    export_expt_info_to_csv,
    get_expt_dir,
    get_model_dir,
    get_subdirs,
    make_dir_if_not_exists,
    read_expt_info_from_csv,
)
from daart_fast.experiment.identity import (
    find_experiment,
    finished_versions,
    get_model_params,
    matching_versions,
)
from daart_fast.experiment.stored import export_hparams, load_plain_yaml, weights_problem

REPOSITORY = Path(__file__).resolve().parents[1]
COMPAT = REPOSITORY.parent / "shared" / "compat" / "models"

# --------------------------------------------------------------------- folders


def test_subfolders_are_listed_by_name(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    assert get_subdirs(tmp_path) == ["a", "b", "c"]
    with pytest.raises(StopIteration):
        get_subdirs(tmp_path / "a")
    with pytest.raises(NotADirectoryError):
        get_subdirs(tmp_path / "none")


def test_the_folder_of_a_file_to_come_is_made(tmp_path):
    make_dir_if_not_exists(tmp_path / "a" / "b" / "file.txt")
    make_dir_if_not_exists(str(tmp_path / "a" / "b" / "file.txt"))
    assert (tmp_path / "a" / "b").is_dir() and not (tmp_path / "a" / "b" / "file.txt").exists()


@pytest.mark.parametrize("ids", ["s1", ["s1"], "s1;"])
def test_one_session_has_a_folder_of_its_name(tmp_path, ids):
    assert get_expt_dir(tmp_path / "results", ids) == str(tmp_path / "results" / "s1")
    assert not (tmp_path / "results").exists()


def test_several_sessions_share_a_folder_that_lists_them(tmp_path):
    first = get_expt_dir(tmp_path / "results", ["s1", "s2"])
    assert first == str(tmp_path / "results" / "multi-0")
    assert (tmp_path / "results" / "multi-0" / "expt_info.csv").read_text() == "expt\ns1\ns2\n"
    assert get_expt_dir(tmp_path / "results", ["s1", "s2", "s3"]).endswith("multi-1")
    for same in (["s2", "s1"], ("s1", "s2"), "s1;s2"):
        assert get_expt_dir(tmp_path / "results", same) == first
    assert sorted(os.listdir(tmp_path / "results")) == ["multi-0", "multi-1"]


def test_a_number_that_is_taken_is_not_used_again(tmp_path):
    (tmp_path / "multi-7").mkdir()
    (tmp_path / "multi-x").mkdir()
    assert get_expt_dir(tmp_path, ["s1", "s2"]).endswith("multi-8")


@pytest.mark.parametrize("text", ["\ufeffexpt\ns1\ns2\n", ",expt\r\n0,s2\r\n1,s1\r\n"])
def test_a_list_that_another_program_wrote_is_read(tmp_path, text):
    (tmp_path / "multi-3").mkdir()
    (tmp_path / "multi-3" / "expt_info.csv").write_text(text, encoding="utf-8")
    (tmp_path / "multi-1").mkdir()
    (tmp_path / "multi-1" / "expt_info.csv").write_text("other\ns1\ns2\n")
    assert get_expt_dir(tmp_path, ["s1", "s2"]) == str(tmp_path / "multi-3")


def test_the_folder_of_a_session_stays_in_its_place(tmp_path):
    for wrong in ("../up", ["s1", "a/b"], ["..", "s"]):
        with pytest.raises(ConfigError, match="cannot be a session id"):
            get_expt_dir(tmp_path, wrong)
    for none in ("", [], None):
        with pytest.raises(ConfigError, match="at least one session id"):
            get_expt_dir(tmp_path, none)


def test_lists_of_sessions_are_read_as_they_were_written(tmp_path):
    ids = ["s1", "a, b", 'say "x"', "größe"]
    export_expt_info_to_csv(tmp_path, ids)
    assert [row["expt"] for row in read_expt_info_from_csv(tmp_path / "expt_info.csv")] == ids


def test_a_kind_of_model_has_a_folder(tmp_path):
    assert get_model_dir("base", {"backbone": "dtcn"}).rstrip(os.sep) == os.path.join(
        "base", "dtcn"
    )
    params = {"backbone": "gru", "model_class": "segmenter", "experiment_name": "x"}
    assert get_model_dir("base", params) == os.path.join("base", "gru", "x")


# --------------------------------------------------------------------- many at once

RACE = """
import sys, time
from pathlib import Path
from daart_fast.io import get_expt_dir
base, go = map(Path, sys.argv[1:3])
print("ready", flush=True)
while not go.exists():
    time.sleep(0.0005)
for i in range(6):
    print(get_expt_dir(base, [f"s{i}", "t"]), flush=True)
"""


@pytest.mark.slow
def test_processes_that_ask_together_get_one_folder_for_each_set(tmp_path):
    command = [sys.executable, "-c", RACE, str(tmp_path / "results"), str(tmp_path / "go")]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for _ in range(5)
    ]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    (tmp_path / "go").write_text("")
    answers = [run.communicate(timeout=30)[0].splitlines() for run in runs]
    assert all(answer == answers[0] for answer in answers) and len(set(answers[0])) == 6
    for i, folder in enumerate(answers[0]):
        listed = read_expt_info_from_csv(Path(folder) / "expt_info.csv")
        assert [row["expt"] for row in listed] == [f"s{i}", "t"]
    assert len(os.listdir(tmp_path / "results")) == 6  # and nothing half made beside them


# --------------------------------------------------------------------- which experiment


@pytest.fixture
def hparams(tmp_path: Path) -> dict[str, Any]:
    return {
        **{name: key.default for name, key in KEYS.items()},
        "expt_ids": ["s1", "s2"],
        "data_dir": str(tmp_path / "data"),
        "results_dir": str(tmp_path / "results"),
    }


def store(hparams: dict[str, Any], version: int = 0, **changes: Any) -> Path:
    """Write the hparams of a version, finished unless the hparams say otherwise."""
    folder = Path(get_model_dir(get_expt_dir(hparams["results_dir"], hparams["expt_ids"]), hparams))
    folder = folder / hparams["tt_experiment_name"] / f"version_{version}"
    export_hparams({**hparams, "training_completed": True, **changes}, folder / "hparams.yaml")
    zipfile.ZipFile(folder / "best_val_model.pt", "w").close()
    return folder


#: another value of every key that tells experiments apart
OTHERS = {
    "keypoints": "nose;tail", "animals": "a",
    "input_type": "features", "expt_ids_to_keep": ["s1"], "expt_ids_val": ["s1"],
    "expt_ids_test": ["s2"], "ignore_class": -100, "weight_classes": False,
    "likelihood_threshold": 0.5, "normalization": "train", "fps": 30.0, "n_hid_layers": 3,
    "gaps": "hold",
    "n_hid_units": 8, "n_lags": 2, "activation": "relu", "causal": True, "bidirectional": False,
    "dropout": 0.2, "classifier_type": "binary", "lambda_strong": 2.0, "lambda_weak": 1.0,
    "lambda_pred": 1.0, "lambda_recon": 1.0, "lambda_task": 1.0, "rng_seed_model": 1,
    "variational": True, "semi_supervised_algo": "ups", "prob_threshold": 0.8,
    "variance_threshold": 0.1, "anneal_start": 1, "anneal_end": 60, "learning_rate": 1e-3,
    "sequence_length": 100, "batch_size": 4, "l2_reg": 0.1, "min_epochs": 1, "max_epochs": 20,
    "val_check_interval": 0.5, "enable_early_stop": False, "early_stop_history": 9,
    "search_pruning": "median", "search_pruning_epochs": 3, "kinematic_groups": "angles",
    "kinematic_any_order": True, "smoothing_strength": 0.5,
    "kinematic_windows": "1", "kinematic_axis": "tail;nose", "smoothing": "median",
    "smoothing_seconds": 1.0, "smoothing_frames": 9,
    "save_last_model": True, "train_frac": 0.5, "trial_splits": "8;1;1;0", "rng_seed_train": 1,
}  # fmt: skip
#: keys whose value is part of the folder, or that has a single value
PLACES = {"expt_ids", "backbone", "tt_experiment_name", "model_class"}
NEUTRAL = {
    "data_dir": "elsewhere", "cache_dir": "elsewhere", "device": "cuda", "gpus_vis": "0;1",
    "tt_n_cpu_trials": 4, "tt_n_cpu_workers": 8, "plot_train_curves": False, "resume": False,
    "trials_per_gpu": 2, "executor": "slurm", "slurm": {"time": 5}, "cv_folds": 3,
    "leave_one_session_out": True, "cuda_graph": False, "picture_format": "png;pdf",
}  # fmt: skip


def test_every_key_is_known_to_tell_experiments_apart_or_not():
    assert OTHERS.keys() | PLACES | NEUTRAL.keys() | {"results_dir"} == KEYS.keys()


def test_a_finished_experiment_is_found(hparams):
    assert find_experiment(hparams) == []
    folder = store(hparams)
    assert find_experiment(hparams) == [str(folder)]
    assert find_experiment({**hparams, "expt_ids": "s2;s1"}) == [str(folder)]


def test_missing_keys_may_have_any_value(hparams):
    folders = [str(store(hparams, version=n, max_epochs=n + 1)) for n in (0, 1)]
    given = {name: hparams[name] for name in ("expt_ids", "results_dir")}
    assert find_experiment(given) == folders
    assert find_experiment({"tt_expt_dir": str(Path(folders[0]).parent)}) == folders
    assert find_experiment({**given, "max_epochs": 2}) == folders[1:]
    assert find_experiment({**given, "max_epochs": 3}, keys_to_sweep=["max_epochs"]) == folders


def test_a_new_training_takes_missing_keys_for_their_defaults(hparams):
    folder = store(hparams)
    given = {name: hparams[name] for name in ("expt_ids", "results_dir")}
    assert finished_versions(given) == [str(folder)]
    store(hparams, max_epochs=3)
    assert finished_versions(given) == []


def test_to_keep_all_ids_is_to_keep_none_in_particular(hparams):
    folder = store(hparams, expt_ids_to_keep=["s2", "s1"])
    assert find_experiment(hparams) == [str(folder)]
    assert find_experiment({**hparams, "expt_ids_to_keep": ["s1"]}) == []


def test_ids_to_keep_are_spelled_as_scripts_of_daart_split_them(hparams):
    for ids, spelled in (["s1", "s2"], "s1;s2"), (None, None), ([], None):
        hparams["expt_ids_to_keep"] = ids
        claimed, experiment = create_tt_experiment(dict(hparams))
        assert claimed.get("expt_ids_to_keep") == spelled
        stored = yaml.safe_load((experiment.folder / "hparams.yaml").read_text())
        assert stored.get("expt_ids_to_keep") == (["s1", "s2"] if ids else None)
        experiment.close()


def damage_by_a_byte(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights", b"0123456789")
    file.write_bytes(file.read_bytes().replace(b"0123456789", b"0123456780", 1))


BROKEN = {
    "gone": (lambda file: file.unlink(), "there is no such file"),
    "random": (lambda file: file.write_bytes(b"\x03\x01random"), "no file of torch's"),
    "empty": (lambda file: file.write_bytes(b""), "no file of torch's"),
    "one byte": (damage_by_a_byte, "the checksum of its part weights is wrong"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN)
def test_an_experiment_whose_weights_are_not_whole_is_not_finished(hparams, damage, message):
    folder = store(hparams)
    damage(folder / "best_val_model.pt")
    assert find_experiment(hparams) == []
    wrong = weights_problem(folder)
    assert wrong.startswith(f"{folder / 'best_val_model.pt'}: ") and message in wrong


def test_weights_that_torch_wrote_in_its_old_way_are_whole(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "best_val_model.pt")
    assert weights_problem(tmp_path) == ""
    old = {"_use_new_zipfile_serialization": False}
    torch.save({"a": torch.zeros(2)}, tmp_path / "best_val_model.pt", **old)
    assert weights_problem(tmp_path) == ""


def test_an_unfinished_experiment_is_not_found_but_matches(hparams):
    folder = store(hparams, training_completed=False)
    assert find_experiment(hparams) == []
    assert [version for version, _ in matching_versions(folder.parent, hparams)] == [folder]


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_another_value_is_another_experiment(hparams, name):
    store(hparams)
    assert KEYS[name].check(OTHERS[name]) == OTHERS[name]
    assert find_experiment({**hparams, name: OTHERS[name]}) == []


@pytest.mark.parametrize("name", NEUTRAL)
def test_paths_devices_and_workers_do_not_tell_experiments_apart(hparams, name):
    folder = store(hparams)
    assert find_experiment({**hparams, name: NEUTRAL[name]}) == [str(folder)]


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": "1e-4", "n_hid_units": "32", "weight_classes": 1, "dropout": "0.10"},
        {"semi_supervised_algo": "none", "expt_ids_to_keep": []},
        {"backbone": "dtcn", "train_frac": 1, "lambda_strong": 1},
    ],
)
def test_a_value_may_be_spelled_in_several_ways(hparams, changes):
    folder = store({**hparams, **changes})
    assert find_experiment(hparams) == [str(folder)]
    assert find_experiment({**hparams, **changes}) == [str(folder)]


def test_a_list_stands_for_any_of_its_values(hparams):
    folders = [store({**hparams, "n_lags": n_lags}, n_lags) for n_lags in (2, 4, 8)]
    found = find_experiment({**hparams, "n_lags": [2, 8]})
    assert found == [str(folders[0]), str(folders[2])]


def test_versions_come_by_their_number(hparams):
    folders = [str(store(hparams, version)) for version in (10, 9, 100)]
    assert find_experiment(hparams) == [folders[1], folders[0], folders[2]]


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2", b"text", b"\xff\xfe", b"training_completed: true\n", b"- 1\n"]
)
def test_what_cannot_be_read_is_passed_over(hparams, content):
    folder = store(hparams, 1)
    for name in ("version_0", "version_x", "version_2"):
        (folder.parent / name).mkdir()
    (folder.parent / "version_0" / "hparams.yaml").write_bytes(content)
    assert find_experiment({**hparams, "n_lags": 4, "ignore_class": 0})[-1:] == [str(folder)]


def test_on_request_it_is_said_which_keys_differ(hparams, capsys):
    folder = store(hparams)
    find_experiment({**hparams, "n_lags": 8, "dropout": 0.5}, verbose=True)
    assert capsys.readouterr().out.splitlines() == [
        f"{folder} differs:",
        "    n_lags: 4 there, 8 asked for",
        "    dropout: 0.1 there, 0.5 asked for",
    ]


def test_a_name_that_leads_elsewhere_is_refused(hparams):
    with pytest.raises(ConfigError, match="cannot be an experiment name"):
        find_experiment({**hparams, "tt_experiment_name": "../../other"})


@pytest.mark.parametrize("name", sorted(path.name for path in COMPAT.glob("*")) or [None])
def test_a_model_that_daart_finished_is_found(tmp_path, name):
    if name is None:
        pytest.skip("no shared/compat beside the repository")
    hparams = load_config(COMPAT / name / "hparams.yaml") | {"results_dir": str(tmp_path)}
    for derived in ("expt_dir", "model_dir", "tt_version_dir", "version", "training_completed"):
        del hparams[derived]
    folder = Path(get_expt_dir(tmp_path, hparams["expt_ids"])) / hparams["backbone"]
    folder = folder / hparams["tt_experiment_name"] / "version_0"
    folder.mkdir(parents=True)
    for file in ("hparams.yaml", "best_val_model.pt"):
        shutil.copy(COMPAT / name / file, folder)
    assert find_experiment(hparams) == [str(folder)]
    assert find_experiment({**hparams, "max_epochs": 500}) == []  # which daart would not notice


def test_daarts_set_of_model_parameters():
    params = get_model_params({"backbone": "dtcn", "n_hid_layers": 3, "unknown": 1})
    assert params["n_hid_layers"] == 3 and params["dropout"] == 0.2 and params["n_lags"] == 4
    assert not {"unknown", "bidirectional", "prob_threshold", "max_epochs"} & params.keys()
    assert "bidirectional" in get_model_params({"backbone": "lstm"})
    assert "dropout" not in get_model_params({"backbone": "temporal-mlp"})
    assert "n_hid_units" not in get_model_params({"backbone": "temporal-mlp", "n_hid_layers": 0})
    assert "anneal_end" in get_model_params({"semi_supervised_algo": "ups"})


# --------------------------------------------------------------------- hparams.yaml


def test_hparams_are_stored_as_plain_values(tmp_path):
    hparams = {
        "number": np.float64(0.1),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "weights": np.array([0.0, 1.5]),
        "tensor": torch.tensor([[1, 2]]),
        "scalar": torch.tensor(0.5),
        "pair": (1, "b"),
        "path": Path("a") / "b",
        "nested": {"a": np.float32(0.5), 1: None},
        "nothing": None,
        "text": "größe: 1e-4 # no comment",
        "like_a_number": "1_000",
        "function": len,
        "nan": float("nan"),
    }
    export_hparams(hparams, tmp_path / "new" / "hparams.yaml")
    read = yaml.safe_load((tmp_path / "new" / "hparams.yaml").read_text(encoding="utf-8"))
    assert np.isnan(read.pop("nan"))
    assert read == {
        "number": 0.1,
        "count": 3,
        "flag": True,
        "weights": [0.0, 1.5],
        "tensor": [[1, 2]],
        "scalar": 0.5,
        "pair": [1, "b"],
        "path": str(Path("a") / "b"),
        "nested": {"a": 0.5, 1: None},
        "nothing": None,
        "text": "größe: 1e-4 # no comment",
        "like_a_number": "1_000",
    }


def test_hparams_go_to_the_versions_folder(tmp_path):
    export_hparams({"tt_version_dir": str(tmp_path / "version_0"), "a": 1})
    assert yaml.safe_load((tmp_path / "version_0" / "hparams.yaml").read_text())["a"] == 1
    assert os.listdir(tmp_path / "version_0") == ["hparams.yaml"]


def test_marks_of_python_objects_are_read_as_plain_values():
    marked = {
        "a": (1, 2), "b": np.float64(0.5), "c": [np.int64(3)], "d": Path("x"), "e": len, "f": 1,
    }  # fmt: skip
    read = load_plain_yaml(yaml.dump(marked))
    assert read == {"a": [1, 2], "b": 0.5, "c": [3], "d": None, "e": None, "f": 1}


def test_marks_of_python_objects_make_nothing_run(tmp_path):
    assert load_plain_yaml(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/x']") == {"a": None}
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: !!python/object/apply:numpy.core.multiarray.scalar [f8]",
        "a: !!python/object/apply:numpy.core.multiarray.scalar [q, 1]",
        "a: !!python/object/apply:numpy.dtype {b: 1}",
        "a: !!set 1",
        "a: !other 1",
    ],
)
def test_what_is_no_yaml_is_a_value_error(text):
    with pytest.raises(ValueError):
        load_plain_yaml(text)
