"""Every config file loads, keeps to the known keys, and describes things that can be built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mmseg.config import Config, check_config
from mmseg.datasets import DATASETS
from mmseg.datasets.pipelines import Compose
from mmseg.models import build_segmentor

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs"
FILES = sorted(FOLDER.rglob("*.py"))
RUNNABLE = [path for path in FILES if "_base_" not in path.relative_to(FOLDER).parts]
SEGFORMERS = [path for path in RUNNABLE if path.name.startswith("segformer_mit-")]

# Xie et al. 2021, table 6: blocks per stage, and channels of the four stages.
BLOCKS = {
    "b0": [2, 2, 2, 2],
    "b1": [2, 2, 2, 2],
    "b2": [3, 4, 6, 3],
    "b3": [3, 4, 18, 3],
    "b4": [3, 8, 27, 3],
    "b5": [3, 6, 40, 3],
}
# Recorded with MMSegmentation 0.25, whose head is 256 wide at every size.
PARAMETERS = {
    "b0": 3720051,
    "b1": 13683155,
    "b2": 24728019,
    "b3": 44603859,
    "b4": 61374419,
    "b5": 81974739,
}


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def size_of(path: Path) -> str:
    return re.match(r"segformer_mit-(b\d)_", path.name)[1]


def values_of(config: Any) -> list[Any]:
    """Return every leaf of nested dictionaries and lists."""
    if isinstance(config, dict):
        return [leaf for value in config.values() for leaf in values_of(value)]
    if isinstance(config, (list, tuple)):
        return [leaf for value in config for leaf in values_of(value)]
    return [config]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_loads_and_dumps_to_the_same(path: Path, tmp_path: Path) -> None:
    config = Config.fromfile(path)
    config.dump(tmp_path / "dumped.py")
    assert Config.fromfile(tmp_path / "dumped.py")._cfg_dict == config._cfg_dict


@pytest.mark.parametrize("path", RUNNABLE, ids=name_of)
def test_is_a_whole_recipe(path: Path) -> None:
    config = Config.fromfile(path)
    check_config(config)
    for name in ("model", "data", "optimizer", "lr_config", "runner", "evaluation", "log_config"):
        assert name in config, name
    for split in ("train", "val", "test"):
        part = config.data[split]
        assert part.type in DATASETS
        assert Compose(part.pipeline).transforms
        assert not Path(part.data_root).is_absolute()
    assert not any("entity" in str(value) for value in values_of(config.log_config))


@pytest.mark.parametrize("path", SEGFORMERS, ids=name_of)
def test_segformer_has_the_size_of_its_name(path: Path) -> None:
    config, size = Config.fromfile(path), size_of(path)
    backbone, head = config.model.backbone, config.model.decode_head
    width = 32 if size == "b0" else 64
    assert list(backbone.num_layers) == BLOCKS[size]
    assert backbone.embed_dims == width
    assert list(head.in_channels) == [width * heads for heads in (1, 2, 5, 8)]
    if "init_cfg" in backbone:
        assert backbone.init_cfg.checkpoint == f"pretrain/mit_{size}.pth"
    assert ("init_cfg" in backbone) == ("kitti" in path.name or "cityscapes" in path.name)


@pytest.mark.parametrize("size", BLOCKS)
def test_builds_with_the_recorded_number_of_parameters(size: str) -> None:
    config = Config.fromfile(FOLDER / f"segformer/segformer_mit-{size}_cityscapes_1024x1024_160k.py")
    with torch.device("meta"):
        model = build_segmentor(config.model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[size]


def test_every_distinct_model_builds() -> None:
    built = {}
    for path in RUNNABLE:
        model = Config.fromfile(path).model
        key = repr(model)
        if key not in built:
            with torch.device("meta"):
                built[key] = build_segmentor(model)
    assert len(built) >= 4 * len(BLOCKS) - 6  # KITTI and Cityscapes, CamVid, toy


@pytest.mark.parametrize("dataset", ["kitti_368x368", "cityscapes_1024x1024", "camvid_256x256", "toy"])
def test_all_sizes_are_there(dataset: str) -> None:
    found = {size_of(path) for path in SEGFORMERS if f"_{dataset}" in path.name}
    assert found == set(BLOCKS)


def test_a_file_inherits_from_files_that_exist_in_the_repository() -> None:
    for path in FILES:
        for base in re.findall(r'"(\.\.?/[^"]+\.py)"', path.read_text()):
            assert (path.parent / base).resolve().is_relative_to(FOLDER), f"{path}: {base}"


@pytest.mark.parametrize("figure", ["0.75952312", "123.675", "58.395"])
def test_constants_stand_in_one_place(figure: str) -> None:
    assert sum(path.read_text().count(figure) for path in FILES) == 1


def test_camvid_recipe() -> None:
    config = Config.fromfile(FOLDER / "segformer/segformer_mit-b0_camvid_256x256_400it.py")
    long = Config.fromfile(FOLDER / "segformer/segformer_mit-b0_camvid_256x256_4k.py")
    resize, crop = config.train_pipeline[2], config.train_pipeline[3]
    assert (resize.img_scale, resize.ratio_range) == ((480, 360), (0.5, 2.0))
    assert (crop.crop_size, crop.cat_max_ratio) == ((256, 256), 0.75)
    optimizer = config.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 6e-4, 0.01)
    assert tuple(optimizer.betas) == (0.9, 0.999)
    assert optimizer.paramwise_cfg.custom_keys == {
        "pos_block": {"decay_mult": 0.0},
        "norm": {"decay_mult": 0.0},
        "head": {"lr_mult": 1.0},
    }
    schedule = {"power": 1.0, "min_lr": 0.0, "warmup": "linear", "warmup_iters": 50, "warmup_ratio": 0.01}
    assert config.lr_config == {"policy": "poly", "by_epoch": False, **schedule}
    assert (config.runner.max_iters, long.runner.max_iters) == (400, 4000)
    assert config.data.samples_per_gpu == 4
    assert config.model.decode_head.num_classes == 11
    assert config.model.decode_head.loss_decode == {
        "type": "CrossEntropyLoss",
        "use_sigmoid": False,
        "loss_weight": 1.0,
    }
    assert "sampler" not in config.model.decode_head
    same = ("model", "data", "optimizer", "lr_config")
    assert {k: config[k] for k in same} == {k: long[k] for k in same}
