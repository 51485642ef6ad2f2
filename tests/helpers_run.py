"""A data set of a few small images and a config that trains on it within a second."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmseg.config import Config
from mmseg.utils.errors import run_tool

REPO = Path(__file__).parent.parent

CLASSES = ("left", "middle", "right")
PALETTE = [[200, 0, 0], [0, 200, 0], [0, 0, 200]]
NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def write_dataset(root: Path, train: int = 10, val: int = 5, size: tuple[int, int] = (48, 64)) -> Path:
    """Write noisy images of three coloured stripes and their masks, sizes (h, w), in the 0.25 layout."""
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            rng = np.random.default_rng([split == "val", index])
            h, w = size
            borders = np.sort(rng.integers(w // 6, w - w // 6, 2))
            mask = np.zeros((h, w), np.uint8)
            mask[:, borders[0] :] = 1
            mask[:, borders[1] :] = 2
            image = np.array([[40, 40, 160], [40, 160, 40], [160, 40, 40]], np.float32)[mask]
            image = np.clip(image + rng.normal(0, 25, image.shape), 0, 255).astype(np.uint8)
            mask[: h // 8, : w // 8] = 255
            for folder, array in (("img_dir", image), ("ann_dir", mask)):
                path = root / folder / split / f"{index:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array)
    return root


def tiny_model(num_classes: int = 3, **head: Any) -> dict[str, Any]:
    """A SegFormer of some 20,000 parameters."""
    return dict(
        type="EncoderDecoder",
        pretrained=None,
        backbone=dict(
            type="MixVisionTransformer",
            in_channels=3,
            embed_dims=8,
            num_stages=4,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 2, 4, 8],
            patch_sizes=[7, 3, 3, 3],
            sr_ratios=[8, 4, 2, 1],
            out_indices=(0, 1, 2, 3),
            mlp_ratio=2,
            qkv_bias=True,
            drop_rate=0.0,
            attn_drop_rate=0.0,
            drop_path_rate=0.1,
        ),
        decode_head=dict(
            type="SegformerHead",
            in_channels=[8, 16, 32, 64],
            in_index=[0, 1, 2, 3],
            channels=16,
            dropout_ratio=0.1,
            num_classes=num_classes,
            norm_cfg=dict(type="SyncBN", requires_grad=True),
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        )
        | head,
        train_cfg=dict(),
        test_cfg=dict(mode="whole"),
    )


def tiny_config(root: Path, max_iters: int = 6, **sections: Any) -> dict[str, Any]:
    """A whole config for ``root``; ``sections`` replace top-level sections."""
    train = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations"),
        dict(type="Resize", img_scale=(64, 48), ratio_range=(0.75, 1.5)),
        dict(type="RandomCrop", crop_size=(32, 32), cat_max_ratio=0.75),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PhotoMetricDistortion"),
        dict(type="Normalize", **NORM),
        dict(type="Pad", size=(32, 32), pad_val=0, seg_pad_val=255),
        dict(type="DefaultFormatBundle"),
        dict(type="Collect", keys=["img", "gt_semantic_seg"]),
    ]
    views = [
        dict(type="Resize", keep_ratio=True),
        dict(type="RandomFlip"),
        dict(type="Normalize", **NORM),
        dict(type="ImageToTensor", keys=["img"]),
        dict(type="Collect", keys=["img"]),
    ]
    test = [
        dict(type="LoadImageFromFile"),
        dict(type="MultiScaleFlipAug", img_scale=(64, 48), flip=False, transforms=views),
    ]

    def split(name: str, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(
            type="CustomDataset",
            data_root=str(root),
            img_dir=f"img_dir/{name}",
            ann_dir=f"ann_dir/{name}",
            img_suffix=".png",
            classes=CLASSES,
            palette=PALETTE,
            pipeline=pipeline,
        )

    config = dict(
        model=tiny_model(),
        data=dict(
            samples_per_gpu=2,
            workers_per_gpu=0,
            train=split("train", train),
            val=split("val", test),
            test=split("val", test),
        ),
        optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01),
        optimizer_config=dict(),
        lr_config=dict(policy="poly", power=1.0, by_epoch=False),
        runner=dict(type="IterBasedRunner", max_iters=max_iters),
        checkpoint_config=dict(by_epoch=False, interval=-1),
        evaluation=dict(interval=1000, metric="mIoU", pre_eval=True),
        log_config=dict(interval=2, hooks=[dict(type="TextLoggerHook", by_epoch=False)]),
        workflow=[("train", 1)],
        log_level="INFO",
        load_from=None,
        resume_from=None,
    )
    return {**config, **sections}


def write_config(path: Path, config: dict[str, Any]) -> Path:
    """Write ``config`` as a Python config file."""
    Config(config).dump(str(path))
    return path


def run_tool_here(tool: str, *args: object, monkeypatch: Any) -> None:
    """Run the ``main`` of ``tools/TOOL.py`` in this process."""
    module = runpy.run_path(str(REPO / "tools" / f"{tool}.py"), run_name="tool")
    monkeypatch.setattr(sys, "argv", [f"{tool}.py", *map(str, args)])
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    run_tool(module["main"])
