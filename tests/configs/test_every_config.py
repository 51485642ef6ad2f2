"""Every config file loads, keeps to the known keys, and describes things that can be built."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmseg.config import Config, check_config
from mmseg.datasets import DATASETS
from mmseg.datasets.pipelines import Compose
from mmseg.models import build_segmentor
from mmseg.models.decode_heads import BaseDecodeHead
from mmseg.models.layers.norm import revert_sync_batchnorm

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs"
FILES = sorted(FOLDER.rglob("*.py"))
RUNNABLE = [path for path in FILES if "_base_" not in path.relative_to(FOLDER).parts]
MODELS = [path for path in RUNNABLE if path.parent.name != "cwd"]  # a student and a teacher of these
SEGFORMERS = [path for path in MODELS if path.name.startswith("segformer_mit-")]
RESNETS = [path for path in MODELS if re.search(r"_r\d+[-_]", path.name)]
SWINS = [path for path in MODELS if "swin" in path.name]
ON = ("kitti", "cityscapes", "camvid", "ade20k", "toy")
SMALLEST = sorted(MODELS, key=lambda path: (not re.search("mit-b0|_r18|_r50|tiny|swin-t", path.name), path))
FROM_IMAGENET = ("kitti", "cityscapes", "ade20k")  # the others start from random weights

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


@cache
def config_of(path: Path) -> Config:
    """The config of a file, read once; not to be changed."""
    return Config.fromfile(path)


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
    config = config_of(path)
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
    config, size = config_of(path), size_of(path)
    backbone, head = config.model.backbone, config.model.decode_head
    width = 32 if size == "b0" else 64
    assert list(backbone.num_layers) == BLOCKS[size]
    assert backbone.embed_dims == width
    assert list(head.in_channels) == [width * heads for heads in (1, 2, 5, 8)]
    if "init_cfg" in backbone:
        assert backbone.init_cfg.checkpoint == f"pretrain/mit_{size}.pth"
    assert ("init_cfg" in backbone) == any(name in path.name for name in FROM_IMAGENET)


@pytest.mark.parametrize("path", RESNETS, ids=name_of)
def test_resnet_has_the_depth_of_its_name(path: Path) -> None:
    model = config_of(path).model
    depth = int(re.search(r"_r(\d+)[-_]", path.name)[1])
    assert model.backbone.depth == depth
    weights = f"open-mmlab://resnet{depth}_v1c" if any(name in path.name for name in FROM_IMAGENET) else None
    assert model.pretrained == weights
    assert ("-d8_" in path.name) == (model.backbone.strides == (1, 2, 1, 1))


@pytest.mark.parametrize("path", SWINS, ids=name_of)
def test_swin_has_the_size_of_its_name(path: Path) -> None:
    backbone = config_of(path).model.backbone
    size = re.search(r"swin[-_](tiny|small|base|t)?", path.name)[1]
    width = 128 if size == "base" else 96
    assert backbone.embed_dims == width
    assert list(backbone.depths) == ([2, 2, 18, 2] if size in ("small", "base") else [2, 2, 6, 2])
    assert list(backbone.num_heads) == [width // 32 * 2**i for i in range(4)]
    assert ("init_cfg" in backbone) == any(name in path.name for name in FROM_IMAGENET)


@pytest.mark.parametrize("size", BLOCKS)
def test_builds_with_the_recorded_number_of_parameters(size: str) -> None:
    config = Config.fromfile(FOLDER / f"segformer/segformer_mit-{size}_cityscapes_1024x1024_160k.py")
    with torch.device("meta"):
        model = build_segmentor(config.model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[size]


def distinct(paths: list[Path], key: Callable[[Any], Any]) -> list[Path]:
    """The first file of each ``key(model)``."""
    found: dict[Any, Path] = {}
    for path in paths:
        found.setdefault(key(config_of(path).model), path)
    return list(found.values())


def kind(model: Any) -> tuple[Any, ...]:
    return model.backbone.type, model.get("neck", {}).get("type"), model.decode_head.type


def build_and_run(path: Path) -> nn.Module:
    """Build the model of a file, and run all its heads, on the meta device: shapes without numbers."""
    config = config_of(path)
    with torch.device("meta"):
        model = revert_sync_batchnorm(build_segmentor(config.model)).eval()
        image = torch.zeros(1, 3, 128, 256)
    classes = len(DATASETS.get(config.data.train.type).CLASSES)
    heads = model.auxiliary_head if model.with_auxiliary_head else []
    with torch.no_grad():
        features = model.extract_feat(image)
        for head in [model.decode_head, *([heads] if isinstance(heads, BaseDecodeHead) else heads)]:
            assert head(features).shape[:2] == (1, classes), type(head).__name__
            weights = head.loss_decode.class_weight
            assert weights is None or len(weights) == classes
    return model


@pytest.mark.parametrize("path", distinct(SMALLEST, kind), ids=name_of)
def test_one_model_of_each_kind_builds_and_runs(path: Path) -> None:
    assert sum(p.numel() for p in build_and_run(path).parameters()) > 1e6


@pytest.mark.slow
def test_every_distinct_model_builds_and_runs() -> None:
    paths = distinct(MODELS, repr)
    assert len(paths) > 60
    for path in paths:
        try:
            build_and_run(path)
        except Exception as error:
            error.add_note(name_of(path))
            raise


@pytest.mark.parametrize("data", ["kitti", "cityscapes", "toy"])
def test_every_model_of_the_table_is_there(data: str) -> None:
    for model in (
        "basicNet/basicnet",
        "unet/fcn_unet_s5-d16",
        "deeplabv3plus/deeplabv3plus_r18-d8",
        "deeplabv3plus/deeplabv3plus_r50-d8",
        "deeplabv3plus/deeplabv3plus_r101-d8",
        "segformer/segformer_swin-t",
        "segformer/segformer_mit-b0",
        "segformer/segformer_mit-b2",
        "segformer/segformer_mit-b5",
        "pspnet/pspnet_r18-d8",
        "pspnet/pspnet_r101-d8",
    ):
        found = [p for p in FOLDER.glob(f"{model}_*{data}*.py") if "Historic name" not in p.read_text()]
        assert found, f"{model} on {data}"


def test_names_say_which_data_they_are_for() -> None:
    for path in RUNNABLE:
        named = [name for name in ON if name in path.stem]
        assert len(named) == 1, path
        root = config_of(path).data.train.data_root
        assert named[0].removesuffix("20k") in root, f"{path}: {root}"


def test_names_say_on_what_crops_and_how_long() -> None:
    for path in RUNNABLE:
        text, config = path.read_text(), config_of(path)
        if "Historic name" in text or "_toy" in path.name or "recipes" in path.parts:
            continue
        (height, width) = [t["crop_size"] for t in config.train_pipeline if t["type"] == "RandomCrop"][0]
        assert f"_{height}x{width}_" in path.name, path
        length = re.search(r"_(\d+)(k|it|e)(_|\.)", path.name)
        count = config.runner.get("max_epochs") if length[2] == "e" else config.runner.max_iters
        assert count == int(length[1]) * (1000 if length[2] == "k" else 1), path


@pytest.mark.parametrize("dataset", ["kitti_368x368", "cityscapes_1024x1024", "camvid_256x256", "toy"])
def test_all_sizes_are_there(dataset: str) -> None:
    found = {size_of(path) for path in SEGFORMERS if f"_{dataset}" in path.name}
    assert found == set(BLOCKS)


def test_a_file_inherits_from_files_that_exist_in_the_repository() -> None:
    for path in FILES:
        for base in re.findall(r'"(\.\.?/[^"]+\.py)"', path.read_text()):
            assert (path.parent / base).resolve().is_relative_to(FOLDER), f"{path}: {base}"


@pytest.mark.parametrize("figure", ["0.75952312", "0.74928016", "123.675", "58.395"])
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
