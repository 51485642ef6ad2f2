"""Images, data sets and peers for bench_pipeline.py: the same recipes in our words and in albumentations'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness.machine import peer
from benchmarks.harness.timing import ROOT
from mmseg.config import Config

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IGNORED = 255
# KITTI's files have the filter Sub in every row and are packed by run lengths; decoders are faster at that
# than at other PNG files.
LIKE_KITTI = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # not before OpenCV 4.12; Sub was what it wrote then
    LIKE_KITTI += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]


@dataclass(frozen=True)
class Recipe:
    """A data set's training recipe and the kind of files it reads.

    Attributes:
        name: For the table.
        config: Our config file of the data set.
        size: (w, h) of the images.
        suffix: Of the image files.
        crop: (h, w).
        scales: (w, h) to draw from, or None for a ratio from 0.5 to 2.
    """

    name: str
    config: str
    size: tuple[int, int]
    suffix: str
    crop: tuple[int, int]
    scales: tuple[tuple[int, int], ...] | None

    def pipeline(self) -> list[dict[str, Any]]:
        """Our training pipeline."""
        return Config.fromfile(str(ROOT / self.config)).data.train.pipeline


KITTI = Recipe(
    name="KITTI, 1242x375 PNG",
    config="configs/_base_/datasets/kitti_seg_basic.py",
    size=(1242, 375),
    suffix=".png",
    crop=(368, 368),
    scales=((621, 187), (931, 281), (1242, 375), (1552, 469), (1863, 562), (2173, 656)),
)
CAMVID = Recipe(
    name="CamVid, 480x360 JPEG",
    config="configs/_base_/datasets/camvid.py",
    size=(480, 360),
    suffix=".jpg",
    crop=(256, 256),
    scales=None,
)


def draw_images(recipe: Recipe, folder: Path, count: int = 8) -> tuple[list[str], list[str]]:
    """Draw street scenes with the grain of a camera; the files are as large as real ones (0.8 MB, 50 kB).

    Returns:
        The image files and the mask files (8-bit grey, train ids).
    """
    from mmseg.datasets.toy_scenes.scene import draw_scene

    rng = np.random.default_rng(0)
    images, masks = [], []
    for i in range(count):
        image, mask = draw_scene((0, 0), i, *recipe.size)
        grain = rng.normal(0, 2.5, image.shape)  # a lens blurs, then a sensor adds noise
        image = np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + grain, 0, 255).astype(np.uint8)
        images.append(str(folder / f"image_{i}{recipe.suffix}"))
        masks.append(str(folder / f"mask_{i}.png"))
        is_png = recipe.suffix == ".png"
        options = LIKE_KITTI if is_png else [cv2.IMWRITE_JPEG_QUALITY, 91]
        cv2.imwrite(images[-1], image, options)
        cv2.imwrite(masks[-1], mask, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return images, masks


def given_images(images: str, masks: str, suffix: str) -> tuple[list[str], list[str]]:
    """The files of two folders, sorted, paired in this order.

    Raises:
        UserError: there are none, or not as many images as masks.
    """
    from mmseg.utils.errors import UserError

    found = sorted(map(str, Path(images).rglob(f"*{suffix}"))), sorted(map(str, Path(masks).rglob("*.png")))
    if not found[0] or len(found[0]) != len(found[1]):
        raise UserError(
            f"{len(found[0])} images ({suffix}) below {images} and {len(found[1])} masks below {masks}; "
            "each image needs one mask"
        )
    return found


class PlainSamples:
    """A plain PyTorch data set with albumentations: what a user of theirs writes for the same recipe."""

    def __init__(self, recipe: Recipe, images: Sequence[str], masks: Sequence[str]) -> None:
        albumentations = peer("albumentations")
        assert albumentations is not None
        self.recipe, self.images, self.masks = recipe, images, masks
        a, (h, w) = albumentations, recipe.crop
        self.resizes = {size: a.Resize(size[1], size[0]) for size in recipe.scales or ()}
        self.kind = a
        self.rest = a.Compose(
            [
                a.PadIfNeeded(h, w, border_mode=cv2.BORDER_CONSTANT, fill=0, fill_mask=IGNORED),
                a.RandomCrop(h, w),
                a.HorizontalFlip(p=0.5),
                a.RandomBrightnessContrast(brightness_limit=32 / 255, contrast_limit=0.5, p=0.75),
                a.HueSaturationValue(18, 90, 0, p=0.75),
                a.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD], max_pixel_value=255),
                a.pytorch.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """The sample ``index`` at a scale drawn from ``rng``."""
        image = cv2.cvtColor(cv2.imread(self.images[index]), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(self.masks[index], cv2.IMREAD_GRAYSCALE)
        if self.recipe.scales:
            resize = self.resizes[self.recipe.scales[int(rng.integers(len(self.recipe.scales)))]]
        else:
            ratio = rng.uniform(0.5, 2.0)
            w, h = (max(1, int(edge * ratio)) for edge in self.recipe.size)
            resize = self.kind.Resize(h, w)
        sample = self.rest(**resize(image=image, mask=mask))
        return {"img": sample["image"], "gt_semantic_seg": sample["mask"].long()[None]}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.draw(index, np.random.default_rng())
