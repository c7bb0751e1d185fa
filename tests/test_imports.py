"""What importing costs, and that every name of daart's is where its scripts look for it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import pytest
import torch

import daart_fast
from daart_fast.api import Model

HEAVY = ("h5py", "matplotlib", "numba", "pandas", "scipy", "sklearn", "test_tube", "tqdm")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import daart_fast", ()),
        ("import daart_fast.cli, daart_fast.config, daart_fast.io", ()),
        ("import daart_fast.ops, daart_fast.models, daart_fast.data", ()),
        ("import daart_fast.testtube, daart_fast.utils, daart_fast.eval", ()),
        ("import daart_fast.features, daart_fast.report, daart_fast.convert", ()),
        ("import daart_fast.train, daart_fast.callbacks", ("tqdm",)),
    ],
)
def test_heavy_packages_wait_until_they_are_needed(statement, allowed):
    heavy = [name for name in HEAVY if name not in allowed]
    # torch itself may bring some
    code = f"import sys, torch; before = set(sys.modules)\n{statement}\n"
    code += f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


#: What torch brings when it compiles, and what makes tables and pictures: a second each.
UNUSED = ("h5py", "matplotlib", "numba", "pandas", "scipy", "sympy", "torch._dynamo")


def test_predict_imports_nothing_that_it_does_not_use(tmp_path):
    model_dir, inputs = tmp_path / "model", tmp_path / "m1.csv"
    save_model(model_dir)
    inputs.write_text("frame,speed,angle\n" + "".join(f"{i},{i % 7},{i % 3}\n" for i in range(50)))
    code = "import sys\nfrom daart_fast.cli import main\n"
    code += f"main(['predict', {str(model_dir)!r}, {str(inputs)!r}, '--output_dir', 'out'])\n"
    code += f"print([name for name in {UNUSED} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["doctor", "convert-labels"])
def test_commands_that_only_read_files_do_without_torch(command, tmp_path):
    for folder in ("markers", "labels-hand"):
        (tmp_path / folder).mkdir()
    rows = "".join(f"{i},{i % 7},{i % 3}\n" for i in range(50))
    (tmp_path / "markers" / "m1.csv").write_text("frame,speed,angle\n" + rows)
    (tmp_path / "m1.csv").write_text("class,start,stop\nwalk,3,9\n")
    arguments = {
        "doctor": [str(tmp_path)],
        "convert-labels": ["m1.csv", "--markers", "markers", "--unscored", "--output_dir", "out"],
    }
    code = "import sys\nfrom daart_fast.cli import main\n"
    code += f"code = main({[command, *arguments[command]]})\n"
    code += f"print([name for name in {('torch', *UNUSED)} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def save_model(folder):
    """Write a small model of two channels, as training does."""
    hparams = {"backbone": "dtcn", "input_size": 2, "output_size": 3, "n_hid_layers": 1}
    hparams |= {"n_hid_units": 4, "n_lags": 1, "activation": "relu", "lambda_strong": 1}
    folder.mkdir()
    (folder / "hparams.yaml").write_text(json.dumps(hparams))
    torch.save(Model.from_config(hparams).model.state_dict(), folder / "best_val_model.pt")


@pytest.mark.slow
def test_the_example_script_tells_its_options_without_torch():
    code = "import sys\nfrom daart_fast.search.fit import fit\n"
    code += "from daart_fast.testtube import get_all_params\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_package_offers_its_names_without_importing_their_modules():
    code = "import sys, daart_fast\nnames = dir(daart_fast)\n"
    code += "print([name for name in daart_fast.__all__ if name not in names])\n"
    code += "print([name for name in sys.modules if name.startswith('daart_fast.')])\n"
    code += "print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "False False"]


def test_the_package_is_imported_within_50_milliseconds():
    code = "import time; start = time.process_time(); import daart_fast\n"
    code += "print(1000 * (time.process_time() - start))"
    command = [sys.executable, "-c", code]
    costs = [float(subprocess.check_output(command)) for _ in range(3)]
    assert min(costs) < 50  # the first writes bytecode, each may share its core


@pytest.mark.parametrize("name", daart_fast.__all__)
def test_every_name_the_package_offers_is_there(name):
    assert getattr(daart_fast, name) is not None
    submodules = [module.name for module in pkgutil.iter_modules(daart_fast.__path__)]
    assert name not in submodules  # importing that module would replace what the name stands for


def test_type_checkers_see_the_same_names_as_users():
    tree = ast.parse(inspect.getsource(daart_fast))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("daart_fast.")
        for node in block.body
        for alias in node.names
    }
    assert seen == daart_fast._HOMES
    assert sorted([*seen, "__version__"]) == daart_fast.__all__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'daart_fast' has no attribute 'Modell'"):
        daart_fast.Modell  # noqa: B018


DAARTS_NAMES = {
    "data": "split_trials compute_sequences compute_sequence_pad load_marker_csv load_marker_h5 "
    "load_feature_csv load_label_csv load_label_pkl SingleDataset DataGenerator",
    "models": "Segmenter Ensembler",
    "models.tcn": "DilatedTCN DilationBlock",
    "models.rnn": "RNN",
    "models.temporalmlp": "TemporalMLP",
    "models.base": "BaseModel get_activation_func_from_str reparameterize_gaussian Segmenter "
    "Ensembler",
    "train": "Trainer Logger",
    "callbacks": "BaseCallback EarlyStopping AnnealHparam PseudoLabels UPS",
    "transforms": "Compose Transform BlockShuffle MakeOneHot MotionEnergy Unitize ZScore",
    "losses": "kl_div_to_std_normal",
    "eval": "get_precision_recall int_over_union run_lengths plot_training_curves "
    "load_metrics_csv_as_df",
    "io": "get_subdirs get_expt_dir get_model_dir get_model_params find_experiment "
    "read_expt_info_from_csv export_expt_info_to_csv export_hparams make_dir_if_not_exists "
    "load_config",
    "testtube": "get_all_params print_hparams create_tt_experiment clean_tt_dir",
    "utils": "build_data_generator collect_callbacks",
    "api.model": "Model",
}


@pytest.mark.parametrize("module", DAARTS_NAMES)
def test_daarts_names_are_where_its_scripts_look_for_them(module):
    found = importlib.import_module(f"daart_fast.{module}")
    missing = [name for name in DAARTS_NAMES[module].split() if not hasattr(found, name)]
    assert missing == []
