"""Config files: what is read from them, and what is refused before any data is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from daart_fast.config import KEYS, check_name, load_config, split_ids
from daart_fast.errors import ConfigError
from daart_fast.experiment.check_settings import check_together

COMPAT = Path(__file__).resolve().parents[2] / "shared" / "compat" / "models"

DATA = "expt_ids: [s1, s2]\ndata_dir: data\nresults_dir: results\n"
MODEL = "backbone: dtcn\nn_hid_layers: 3\n"
TRAIN = "learning_rate: 1e-3\nmax_epochs: 20\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a config file."""

    def write(text: str, name: str = "data.yaml") -> Path:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    return write


@pytest.fixture
def value(write: Callable[..., Path]) -> Callable[[str], object]:
    """A function that reads a line ``key: value`` inside a config and returns the value."""

    def value(line: str) -> object:
        name = line.partition(":")[0]
        text = "".join(row + "\n" for row in DATA.splitlines() if not row.startswith(f"{name}:"))
        return load_config(write(text + line + "\n"))[name]

    return value


def refused(*paths: Path, **options) -> str:
    """What is said of the files, the first one called FILE."""
    with pytest.raises(ConfigError) as caught:
        load_config(*paths, **options)
    return str(caught.value).replace(str(paths[0]) if paths else "-", "FILE")


# --------------------------------------------------------------------- three files become one


def test_files_make_one_dict_with_every_key(write, tmp_path):
    hparams = load_config(write(DATA), write(MODEL, "model.yaml"), write(TRAIN, "train.yaml"))
    assert set(hparams) == set(KEYS)
    given = {"expt_ids": ["s1", "s2"], "backbone": "dtcn", "n_hid_layers": 3, "max_epochs": 20}
    assert {name: hparams[name] for name in given} == given
    assert hparams["learning_rate"] == 1e-3
    others = set(KEYS) - {*given, "learning_rate", "data_dir", "results_dir"}
    assert all(hparams[name] == KEYS[name].default for name in others)


def test_defaults_are_what_daart_documents():
    documented = {
        "n_hid_layers": 2, "n_hid_units": 32, "n_lags": 4, "dropout": 0.1, "ignore_class": 0,
        "learning_rate": 1e-4, "sequence_length": 500, "batch_size": 2, "l2_reg": 0,
        "min_epochs": 10, "max_epochs": 500, "val_check_interval": 1, "early_stop_history": 5,
        "train_frac": 1, "trial_splits": "9;1;0;0", "prob_threshold": 0.9,
        "variance_threshold": 0.05, "anneal_start": 25, "anneal_end": 50, "causal": False,
        "likelihood_threshold": 0, "device": "cpu", "semi_supervised_algo": None,
    }  # fmt: skip
    assert {name: KEYS[name].default for name in documented} == documented


def test_every_default_passes_its_own_check():
    for key in KEYS.values():
        if key.default is not None or key.null:
            assert key.check(key.default) == key.default, key.name


def test_a_key_may_stand_in_any_file_but_only_once(write):
    first, second = write(DATA + "batch_size: 4\n"), write("batch_size: 8\n", "train.yaml")
    assert load_config(first)["batch_size"] == 4
    assert refused(first, second) == (
        f"{second}, line 1: 'batch_size' is given in FILE, line 4 already"
    )
    assert refused(write(DATA + "n_lags: 1\nn_lags: 2\n")) == (
        "FILE, line 5: 'n_lags' is given a second time"
    )


@pytest.mark.parametrize("name", ["lr 0.01 #2", "#2", "a#b", "\N{RAT} #1", "[#2"])
def test_a_name_on_the_command_line_may_hold_a_number_sign(name):
    if name.startswith("["):
        assert "not valid YAML" in refused(overrides=[f"tt_experiment_name={name}"])
        return
    assert load_config(overrides=[f"tt_experiment_name={name}"])["tt_experiment_name"] == name


@pytest.mark.parametrize(
    ("spelled", "read"),
    [("0500", 500), ("+7", 7), ("1e2", 100), ("2.0", 2), (str(2**53 + 1), None)],
)
def test_numbers_are_decimal_as_people_write_them(write, spelled, read):
    path = write(f"{DATA}max_epochs: {spelled}\n")
    config = load_config(path, overrides=[f"min_epochs={spelled}"])
    assert (config["max_epochs"], config["min_epochs"]) == (read or int(spelled),) * 2


@pytest.mark.parametrize("spelled", ["1:30", "0x10", "true", "[1, 1:30]"])
def test_what_yaml_alone_takes_for_a_number_is_refused(spelled):
    assert "expected a whole number" in refused(overrides=[f"max_epochs={spelled}"])


def test_overrides_replace_what_files_say(write):
    path = write(DATA + "batch_size: 4\n")
    hparams = load_config(
        path, overrides=["batch_size=8", "expt_ids=[a, b]", "learning_rate = 1e-5"]
    )
    assert hparams["batch_size"] == 8 and hparams["expt_ids"] == ["a", "b"]
    assert hparams["learning_rate"] == 1e-5
    assert refused(path, overrides=["batch_sise=8"]) == (
        "--set batch_sise=8: there is no key 'batch_sise' (did you mean 'batch_size'?)"
    )
    assert refused(path, overrides=["batch_size"]) == "--set batch_size: expected key=value"
    assert refused(path, overrides=["batch_size=a"]).startswith("--set batch_size=a: 'batch_size'")


def test_lists_are_searched_over_and_checked_one_by_one(value, write):
    assert value("n_lags: [1, 2, 2, 4]") == [1, 2, 4]
    assert value("n_lags: [3]") == 3
    assert value("semi_supervised_algo: [null, pseudo_labels]") == [None, "pseudo_labels"]
    assert value("trial_splits: ['9;1;0;0', '8;1;1;0']") == ["9;1;0;0", "8;1;1;0"]
    assert refused(write(DATA + "n_lags: [1, two]")) == (
        "FILE, line 4: 'n_lags' is two: expected a whole number at least 0"
    )
    assert refused(write(DATA + "n_lags: []")) == (
        "FILE, line 4: 'n_lags' is an empty list: expected a whole number at least 0"
    )
    assert "'data_dir' is []" in refused(write(DATA.replace(": data\n", ": [[]]\n")))


# --------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("learning_rate: 1e-4", 1e-4),  # which YAML takes for text
        ("learning_rate: '0.01'", 0.01),
        ("learning_rate: 1", 1.0),
        ("n_hid_units: 64", 64),
        ("n_hid_units: 64.0", 64),
        ("n_hid_units: 1e2", 100),
        ("rng_seed_train: 4294967295", 4294967295),
        ("causal: true", True),
        ("causal: yes", True),
        ("causal: 'False'", False),
        ("causal: 1", True),
        ("backbone: Temporal-MLP", "temporal-mlp"),
        ("ignore_class: -100", -100),
        ("expt_ids: s1;s2", ["s1", "s2"]),
        ("expt_ids: s1", ["s1"]),
        ("expt_ids: [2019_06_26, 007, 1.50, true]", ["2019_06_26", "007", "1.50", "true"]),
        ("expt_ids: 2019_06_26", ["2019_06_26"]),
        ("expt_ids_to_keep: []", None),
        ("expt_ids_to_keep: null", None),
        ("expt_ids_to_keep: ''", None),
        ("semi_supervised_algo: none", None),
        ("semi_supervised_algo: ~", None),
        ("trial_splits: 8; 1;1 ;0", "8;1;1;0"),
        ("tt_experiment_name: 2024_01", "2024_01"),
        ("tt_experiment_name: sweep/first", "sweep/first"),
        ("device: cuda:1", "cuda:1"),
        ("gpus_vis: 0;1", "0;1"),
        ("gpus_vis: 2", 2),
        ("fps: 29.97", 29.97),
        ("train_frac: 12", 12.0),
        ("tt_n_cpu_trials: null", None),
        ("input_type: 12", "12"),
    ],
)
def test_values_come_in_their_proper_type(value, line, expected):
    found = value(line)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("n_hid_layers: -1", "is -1: expected a whole number at least 0"),
        ("n_hid_units: 0", "is 0: expected a whole number at least 1"),
        ("n_hid_units: 2.5", "is 2.5: expected a whole number at least 1"),
        ("n_hid_units: true", "is true: expected a whole number at least 1"),
        ("n_hid_units: null", "is None: expected a whole number at least 1"),
        ("n_hid_units: many", "is many: expected a whole number at least 1"),
        ("n_hid_units: {a: 1}", "is {'a': '1'}: expected a whole number at least 1"),
        ("n_hid_units: .inf", "is .inf: expected a whole number at least 1"),
        (
            "rng_seed_train: 4294967296",
            "is 4294967296: expected a whole number at least 0, at most",
        ),
        ("rng_seed_model: -1", "is -1: expected a whole number at least 0, at most 4294967295"),
        ("learning_rate: 0", "is 0: expected a number above 0"),
        ("learning_rate: .nan", "is .nan: expected a number above 0"),
        ("learning_rate: fast", "is fast: expected a number above 0"),
        ("learning_rate: 1" + 400 * "0", ": expected a number above 0"),
        ("dropout: 1", "is 1: expected a number at least 0, below 1"),
        ("likelihood_threshold: 1.5", "is 1.5: expected a number at least 0, at most 1"),
        ("causal: maybe", "is 'maybe': expected true or false"),
        ("causal: 2", "is 2: expected true or false"),
        (
            "backbone: dtnc",
            "is 'dtnc': expected one of temporal-mlp, lstm, gru, dtcn (did you mean",
        ),
        (
            "backbone: transformer",
            "is 'transformer': expected one of temporal-mlp, lstm, gru, dtcn",
        ),
        ("backbone: null", "expected one of temporal-mlp, lstm, gru, dtcn"),
        ("backbone: {a: 1}", "expected one of temporal-mlp, lstm, gru, dtcn"),
        ("activation: rleu", "(did you mean 'relu'?)"),
        ("trial_splits: 9;1;0", "is '9;1;0': expected four whole numbers 'train;val;test;gap'"),
        ("trial_splits: 0;1;0;0", "is '0;1;0;0': expected four whole numbers 'train;val;test;gap'"),
        ("trial_splits: [9, 1, 0, 0]", "is '9': expected four whole numbers 'train;val;test;gap'"),
        ("device: gpu", "is 'gpu': expected cpu, cuda or cuda:N"),
        ("gpus_vis: 0,1", "expected a GPU's number, or several as '0;1'"),
        ("expt_ids: []", "is []: expected a list of session ids"),
        ("expt_ids: null", "expected a list of session ids"),
        ("expt_ids: {a: 1}", "expected a list of session ids"),
        ("expt_ids: [[a, b]]", "expected a list of session ids"),
        ("expt_ids: [a, b, a]", ": a: listed more than once"),
        ("expt_ids: [../a]", ": '../a' cannot be a session id: it must name a file or folder of"),
        ("expt_ids: [a/b]", ": 'a/b' cannot be a session id"),
        ("tt_experiment_name: ../up", ": '../up' cannot be an experiment name"),
        ("tt_experiment_name: ''", "is '': expected a name"),
        ("data_dir: null", "expected a folder"),
        ("data_dir: ''", "is '': expected a folder"),
        ("input_type: ''", "is '': expected text"),
        ("fps: 0", "is 0: expected a number above 0, or null"),
        ("early_stop_history: 0", "is 0: expected a whole number at least 1"),
    ],
)
def test_a_value_that_cannot_be_is_shown_with_its_line(write, line, said):
    name = line.partition(":")[0]
    rows = [row for row in DATA.splitlines() if not row.startswith(f"{name}:")]
    message = refused(write("\n".join([*rows, line])))
    assert message.startswith(f"FILE, line {len(rows) + 1}: '{name}'")
    assert said in message and "\n" not in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("learning_rat", " (did you mean 'learning_rate'?)"),
        ("n_hid_layer", " (did you mean 'n_hid_layers'?)"),
        ("model_type", " (it is called 'backbone' now)"),
        ("zzz", ""),
        ("1", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_right_one(write, name, hint):
    assert refused(write(DATA + f"{name}: 1\n")) == f"FILE, line 4: there is no key '{name}'{hint}"


@pytest.mark.parametrize("name", ["expt_ids", "data_dir", "results_dir"])
def test_a_key_that_must_be_there_is_missed(write, name):
    path = write("\n".join(row for row in DATA.splitlines() if not row.startswith(name)))
    model = write(MODEL, "model.yaml")
    assert refused(path, model) == f"FILE: '{name}' is missing: {KEYS[name].help}"


# --------------------------------------------------------------------- files


def test_a_file_that_is_not_there_is_named_with_the_nearest(write, tmp_path):
    write(DATA, "train.yaml")
    assert refused(tmp_path / "trian.yaml") == "FILE: no such file (did you mean 'train.yaml'?)"
    assert refused(tmp_path / "none" / "data.yaml") == "FILE: no such file"
    assert refused(tmp_path).startswith("FILE: cannot be read: is a directory")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "FILE, line 1, column 9: not valid YAML: "),
        ("expt_ids: [a]\n\tn_lags: 2", "FILE, line 2, column 1: not valid YAML: "),
        ("- a\n- b\n", "FILE: expected lines of 'key: value'"),
        ("just text", "FILE: expected lines of 'key: value'"),
        ("a: 1\n---\nb: 2\n", "FILE, line 2, column 1: not valid YAML: "),
        (
            "n_lags: !!python/object/apply:os.getpid []\n",
            "FILE, line 1, column 9: not valid YAML: ",
        ),
        ("n_lags: 2001-99-99\n", "FILE: not valid YAML: "),
        ("n_lags: 2\nbatch\x07size: 2\n", "FILE, line 2: not valid YAML: it holds '\\x07'"),
        (b"\xff\xfea\x00", "FILE: expected a text file in UTF-8, found a binary file"),
        ("", "FILE: 'expt_ids' is missing"),
        ("# a comment\n", "FILE: 'expt_ids' is missing"),
    ],
)
def test_what_is_no_list_of_keys_is_refused(write, text, said):
    assert refused(write(text)).startswith(said)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    path = write(("\ufeff" + DATA + "n_lags: 3\n").replace("\n", "\r\n"))
    assert load_config(path)["n_lags"] == 3


@pytest.mark.parametrize("name", sorted(path.name for path in COMPAT.glob("*")) or [None])
def test_a_models_hparams_are_a_config(name):
    if name is None:
        pytest.skip("no shared/compat beside the repository")
    path = COMPAT / name / "hparams.yaml"
    stored = yaml.safe_load(path.read_text())
    hparams = load_config(path)
    assert set(KEYS) <= set(hparams) and set(stored) <= set(hparams)
    assert hparams["data_dir"] == str(path.parent / "data")
    for key in set(stored) - {"data_dir", "results_dir"}:
        assert hparams[key] == stored[key], key
    check_together(hparams)


# --------------------------------------------------------------------- paths


def test_paths_are_taken_from_the_configs_folder(write, tmp_path, monkeypatch):
    path = write(DATA.replace("results\n", "../out/./results\n"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for given in (path, os.path.relpath(path)):
        hparams = load_config(given)
        assert hparams["data_dir"] == str(tmp_path / "data")
        assert hparams["results_dir"] == str(tmp_path.parent / "out" / "results")


def test_a_path_that_exists_only_under_the_current_folder_is_that(write, tmp_path, monkeypatch):
    # as daart, which takes every path from there
    path = write(DATA)
    here = tmp_path / "elsewhere"
    (here / "data").mkdir(parents=True)
    monkeypatch.chdir(here)
    hparams = load_config(path)
    assert hparams["data_dir"] == str(here / "data")
    assert hparams["results_dir"] == str(tmp_path / "results")
    (tmp_path / "data").mkdir()
    assert load_config(path)["data_dir"] == str(tmp_path / "data")


def test_absolute_paths_and_the_home_folder(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    text = f"expt_ids: [s]\ndata_dir: {tmp_path / 'abs'}\nresults_dir: ~/results\n"
    hparams = load_config(write(text))
    assert hparams["data_dir"] == str(tmp_path / "abs")
    assert hparams["results_dir"] == str(tmp_path / "home" / "results")
    text = text.replace("~", "~nobody_of_that_name")  # then it is a name like any other
    hparams = load_config(write(text))
    assert hparams["results_dir"] == str(tmp_path / "~nobody_of_that_name" / "results")


def test_the_demo_lies_under_the_current_folder(write, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = "expt_ids: [s]\ndata_dir: <demo>/data\nresults_dir: <demo>\n"
    hparams = load_config(write(text))
    assert hparams["data_dir"] == str(tmp_path / "elsewhere" / "demo" / "data")
    assert hparams["results_dir"] == str(tmp_path / "elsewhere" / "demo")


def test_several_data_folders_are_searched_over(write, tmp_path):
    hparams = load_config(write(DATA.replace("data\n", "[one, two]\n")))
    assert hparams["data_dir"] == [str(tmp_path / "one"), str(tmp_path / "two")]


# --------------------------------------------------------------------- keys that must fit


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_hid_layers": 0}, "'n_hid_layers' is 0: backbone 'dtcn' needs 1 or more"),
        ({"lambda_strong": 0}, "nothing to learn: lambda_strong, lambda_weak, lambda_pred, "),
        (
            {"semi_supervised_algo": "ups", "anneal_start": 9, "anneal_end": 5},
            r"'anneal_start' (9) comes after 'anneal_end' (5)",
        ),
        (
            {"semi_supervised_algo": "ups", "lambda_strong": 0, "lambda_weak": 1},
            "'lambda_strong' is 0: 'ups' labels what a model that learned from hand labels is sure",
        ),
        (
            {"expt_ids_to_keep": ["mouse1"]},
            "'expt_ids_to_keep': 'mouse1' is not in expt_ids (did you mean 'mouse10'?)",
        ),
        (
            {"expt_ids_val": ["x"], "expt_ids_test": ["x", "y"]},
            "x: both in 'expt_ids_val' and in 'expt_ids_test'",
        ),
        (
            {"expt_ids_val": ["mouse10"]},
            "every session of 'expt_ids' is held out: none is left to train on",
        ),
    ],
)
def test_keys_that_cannot_be_together_are_refused(changes, said):
    hparams = {"expt_ids": ["mouse10"], **changes}
    with pytest.raises(ConfigError) as caught:
        check_together(hparams)
    assert str(caught.value).startswith(said)
    named = {f"{file}_config": f"{file}.yaml" for file in ("data", "model", "train")}
    with pytest.raises(ConfigError, match=r"^(data|model|train)\.yaml: "):
        check_together({**hparams, **named})


@pytest.mark.parametrize(
    "changes",
    [
        {"n_hid_layers": 0, "backbone": "temporal-mlp"},
        {"lambda_strong": 0, "lambda_pred": 1},
        {"anneal_start": 9, "anneal_end": 5},
        {"expt_ids_to_keep": ["a"], "expt_ids_val": ["b"], "expt_ids_test": ["c"]},
        {"expt_ids": "a;b", "expt_ids_val": "b"},
    ],
)
def test_keys_that_can_be_together_are(changes):
    check_together({"expt_ids": ["a", "b"], **changes})


# --------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["mouse 1", "2019_06_26", "ß", "a.b", "...", "-x", "a;b"])
def test_names_of_files_are_names(name):
    assert check_name(name, "a session id") == name


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a\\b", "/a", "C:", "C:\\a", "a\nb", "a\0b", "../a", "a/.."]
)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(ConfigError, match="cannot be a session id"):
        check_name(name, "a session id")


def test_ids_come_as_lists_or_joined():
    assert split_ids(None) == split_ids("") == split_ids([]) == []
    assert split_ids("a; b;;c ") == split_ids(("a", "b", "c")) == ["a", "b", "c"]
    assert split_ids(5) == ["5"]
    for wrong in (True, {"a": 1}, [None], [["a"]]):
        with pytest.raises(ValueError):
            split_ids(wrong)


def test_a_session_is_held_out_by_its_name_without_the_trackers_suffix():
    files = ["expt_ids=m1DLC_net;m2DLC_net", "expt_ids_to_keep=m1DLC_net"]
    hparams = load_config(overrides=[*files, "expt_ids_test=m2"])
    assert hparams["expt_ids_test"] == ["m2DLC_net"]
    assert hparams["expt_ids_to_keep"] == ["m1DLC_net"]
    assert load_config(overrides=["expt_ids=m1;m2", "expt_ids_val=m1DLC_net"])["expt_ids_val"] == [
        "m1"
    ]


def test_a_name_that_fits_several_sessions_is_left():
    hparams = load_config(overrides=["expt_ids=m1DLC_a;m1DLC_b", "expt_ids_test=m1;m9"])
    assert hparams["expt_ids_test"] == ["m1", "m9"]
