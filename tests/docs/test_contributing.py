"""The worked examples of CONTRIBUTING.md, taken from the page and really used."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.apis import set_random_seed, train_segmentor
from mmseg.config import Config
from mmseg.datasets import DATASETS, PIPELINES, build_dataset
from mmseg.datasets.pipelines import Compose
from mmseg.engine import HOOKS
from mmseg.models import BACKBONES, HEADS, LOSSES, build_loss, build_segmentor
from mmseg.utils.checkpoint import read_checkpoint
from tests.docs.markdown import ROOT, blocks_of
from tests.helpers_run import tiny_config, tiny_model, write_dataset

PAGE = ROOT / "CONTRIBUTING.md"
EXAMPLES = ("A backbone", "A head", "A loss", "A data set", "A transform", "A hook")
CONTRACTS = "The test of a new model"
REGISTRIES = (BACKBONES, HEADS, LOSSES, DATASETS, PIPELINES, HOOKS)


def example(heading: str) -> str:
    """The one Python block under ``heading``."""
    (block,) = [b for b in blocks_of(PAGE, "python") if b.heading == heading]
    return block.text


def load(text: str, name: str, folder: Path) -> ModuleType:
    """Import ``text`` as a module of its own, as a file of the user's would be."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# The contracts are collected as they stand in the page; the fixture below registers what they build.
_contracts: dict[str, Any] = {"__name__": __name__}
exec(compile(example(CONTRACTS), str(PAGE), "exec"), _contracts)
TestTinyConvNet = _contracts["TestTinyConvNet"]
TestLinearHead = _contracts["TestLinearHead"]


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """The examples as modules, by heading; the registries are as before afterwards."""
    DATASETS.get(""), PIPELINES.get("")  # what they load at first use is theirs
    before = [dict(registry.module_dict) for registry in REGISTRIES]
    folder = tmp_path_factory.mktemp("examples")
    names = {heading: f"contributed_{i}" for i, heading in enumerate(EXAMPLES)}
    yield {heading: load(example(heading), name, folder) for heading, name in names.items()}
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.module_dict.clear()
        registry.module_dict.update(entries)
    for name in names.values():
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("stripes"), train=4, val=2)


def train(config: dict[str, Any], work_dir: Path, **changes: Any) -> Any:
    cfg = Config({**config, "work_dir": str(work_dir), "seed": 3, "device": "cpu", **changes})
    set_random_seed(0)
    model = build_segmentor(cfg.model)
    model.init_weights()
    return train_segmentor(model, build_dataset(cfg.data.train), cfg)


@pytest.mark.parametrize("heading", [*EXAMPLES, CONTRACTS])
def test_examples_are_short(heading: str) -> None:
    lines = example(heading).splitlines()
    assert len(lines) <= 30, f"{heading}: {len(lines)} lines"
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(
    "head",
    [
        dict(type="SegformerHead", in_channels=[4, 8, 12, 16], in_index=[0, 1, 2, 3]),
        dict(type="FCNHead", in_channels=12, in_index=2, num_convs=1),
        dict(type="LinearHead", in_channels=12, in_index=2),
    ],
    ids=lambda head: head["type"],
)
def test_backbone_and_head_in_a_segmentor(head: dict[str, Any]) -> None:
    backbone = dict(type="TinyConvNet", widths=[4, 8, 12, 16], norm_cfg=dict(type="BN"))
    decode_head = {**head, "channels": 8, "num_classes": 5, "norm_cfg": dict(type="BN")}
    model = build_segmentor(dict(type="EncoderDecoder", backbone=backbone, decode_head=decode_head))
    model.init_weights()
    images, labels = torch.randn(2, 3, 64, 96), torch.randint(0, 5, (2, 1, 64, 96))
    outputs = model.train_step(dict(img=images, img_metas=[{}, {}], gt_semantic_seg=labels))
    outputs["loss"].backward()
    weights = [p for p in model.backbone.stages[0].parameters() if p.requires_grad]
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in weights)
    assert model.eval().encode_decode(images).shape == (2, 5, 64, 96)


def test_loss_in_a_head() -> None:
    model = build_segmentor(tiny_model(loss_decode=dict(type="GeneralizedCrossEntropyLoss", q=0.5)))
    labels = torch.randint(0, 3, (2, 1, 32, 32))
    batch = dict(img=torch.randn(2, 3, 32, 32), img_metas=[{}, {}], gt_semantic_seg=labels)
    outputs = model.eval().train_step(batch)
    assert float(outputs["log_vars"]["decode.loss_gce"]) == pytest.approx(outputs["loss"].item())
    outputs["loss"].backward()
    assert model.decode_head.conv_seg.weight.grad.abs().sum() > 0


def test_loss_by_hand() -> None:
    loss = build_loss(dict(type="GeneralizedCrossEntropyLoss", q=0.5, loss_weight=2.0))
    logits = torch.log(torch.tensor([0.25, 0.75])).view(1, 2, 1, 1).repeat(1, 1, 1, 2)
    label = torch.tensor([[[0, 255]]])
    expected = 2.0 * (1 - 0.25**0.5) / 0.5 / 2  # one of two pixels counts, both are averaged over
    assert loss(logits, label).item() == pytest.approx(expected)
    weighed = loss(logits, label, weight=torch.tensor([[[3.0, 3.0]]]))
    assert weighed.item() == pytest.approx(3 * expected)


def test_data_set_read_from_files(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    image, mask = np.full((6, 8, 3), 90, np.uint8), np.tile(np.uint8([0, 1, 2, 255]), (6, 2))
    cv2.imwrite(str(tmp_path / "images" / "frame_0001.jpg"), image)
    cv2.imwrite(str(tmp_path / "masks" / "frame_0001_ground.png"), mask)
    steps = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="DefaultFormatBundle")]
    pipeline = [*steps, dict(type="Collect", keys=["img", "gt_semantic_seg"])]
    folders = dict(data_root=str(tmp_path), img_dir="images", ann_dir="masks")
    dataset = build_dataset(dict(type="GroundDataset", pipeline=pipeline, **folders))
    assert len(dataset) == 1 and tuple(dataset.CLASSES) == ("other", "road", "path")
    sample = dataset[0]
    assert sample["img"].shape == (3, 6, 8)
    np.testing.assert_array_equal(sample["gt_semantic_seg"][0], mask)
    scores = dataset.evaluate([np.where(mask == 255, 0, mask)], logger="silent")
    assert scores["mIoU"] == 1.0 and "IoU.path" in scores


@settings(max_examples=40)
@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), seed=st.integers(0, 1000))
def test_transform_in_a_pipeline(size: tuple[int, int], seed: int) -> None:
    pipeline = Compose([dict(type="RandomQuarterTurn", prob=0.75), dict(type="RandomFlip", prob=0.5)])
    mask = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)

    def run() -> dict[str, Any]:
        image = np.repeat(mask[..., None], 3, axis=2)
        return pipeline(dict(img=image, gt_semantic_seg=mask.copy(), rng=np.random.default_rng(seed)))

    before = np.random.get_state()[1].copy()
    first, second = run(), run()
    for channel in range(3):
        np.testing.assert_array_equal(first["img"][..., channel], first["gt_semantic_seg"])
    np.testing.assert_array_equal(first["img"], second["img"])
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    if "img_shape" in first:
        assert first["img_shape"] == first["img"].shape == first["pad_shape"]


def test_transform_turns_most_of_the_time() -> None:
    turn = PIPELINES.build(dict(type="RandomQuarterTurn", prob=0.75))
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    rng = np.random.default_rng(0)
    turned = sum(not np.array_equal(turn(dict(img=image, rng=rng))["img"], image) for _ in range(400))
    assert 260 <= turned <= 340


def test_hook_in_a_training(root: Path, tmp_path: Path) -> None:
    hooks = [dict(type="ClassifierDrift")]
    log = dict(interval=1, hooks=[dict(type="TextLoggerHook")])
    config = tiny_config(root, max_iters=2, custom_hooks=hooks, log_config=log)
    train(config, tmp_path / "first")
    (path,) = (tmp_path / "first").glob("*.log.json")
    drifts = [json.loads(line)["drift"] for line in path.read_text().splitlines()[1:]]
    assert len(drifts) == 2 and all(d > 0 for d in drifts)

    saved = tmp_path / "first" / "latest.pth"
    config = tiny_config(root, max_iters=3, custom_hooks=hooks, log_config=log)
    resumed = train(config, tmp_path / "second", resume_from=str(saved), seed=None)
    (state,) = read_checkpoint(saved)["hooks"].values()
    assert torch.equal(resumed.hooks[0].state["start"], state["start"])
