"""A project of lightning-action is recognised, with what to do."""

from __future__ import annotations

import pytest
import yaml

from daart_fast.config import load_config
from daart_fast.data.from_config import build_data_generator
from daart_fast.errors import ConfigError, DataError

CONFIG = """data:
  data_path: /labs/mice
  sequence_length: 500
  batch_size: 32
  num_workers: 4
  seed: 42
model:
  backbone: temporalmlp
  num_hid_units: 256
  num_layers: 2
  num_lags: 2
  seed: 1
optimizer:
  type: 'Adam'
  lr: 1e-3
  wd: 1e-4
  scheduler: 'cosine'
training:
  max_epochs: 100
"""


def test_its_config_is_spelled_in_flat_keys(tmp_path):
    (tmp_path / "segmenter.yaml").write_text(CONFIG)
    with pytest.raises(ConfigError, match="a config file of lightning-action") as error:
        load_config(tmp_path / "segmenter.yaml")
    said = str(error.value)
    assert "\nwithout a counterpart: data.num_workers, optimizer.type, optimizer.scheduler" in said
    lines = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    flat = tmp_path / "flat.yaml"
    flat.write_text("\n".join([*lines, "expt_ids: [a]", "results_dir: r"]))
    hparams = load_config(flat)
    assert (hparams["data_dir"], hparams["backbone"]) == ("/labs/mice", "temporal-mlp")
    assert (hparams["n_hid_units"], hparams["learning_rate"]) == (256, 1e-3)
    assert (hparams["rng_seed_train"], hparams["rng_seed_model"]) == (42, 1)


def test_one_nested_key_is_no_project_of_lightning_action(tmp_path):
    (tmp_path / "d.yaml").write_text(yaml.safe_dump({"data": {"seed": 1}}))
    with pytest.raises(ConfigError, match="there is no key 'data'"):
        load_config(tmp_path / "d.yaml")


def test_its_folder_of_labels_is_named(tmp_path):
    for folder in ("markers", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "markers" / "a.csv").write_text("scorer,s\nbodyparts,n\ncoords,x\n0,1\n")
    (tmp_path / "labels" / "a.csv").write_text(",background,walk\n0,0,1\n")
    hparams = {"data_dir": str(tmp_path), "results_dir": str(tmp_path), "expt_ids": ["a"]}
    with pytest.raises(DataError, match="labels is there, where .*: rename it to labels-hand"):
        build_data_generator(hparams)


def test_a_config_file_in_place_of_the_folder_is_named(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    hparams = {"data_dir": str(config), "results_dir": str(tmp_path), "expt_ids": ["a"]}
    with pytest.raises(DataError, match=r"found a file \(a config file is given by --data_config"):
        build_data_generator(hparams)
