"""What every segmentor offers to the trainer, the evaluator and the notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mmseg.models.module import BaseModule
from mmseg.models.segmentors import inference
from mmseg.utils.errors import UserError
from mmseg.visualization.overlay import label_map_image, overlay, save_image

Metas = Sequence[dict[str, Any]]


class BaseSegmentor(BaseModule, ABC):
    """Base class of the segmentors.

    A segmentor adds ``extract_feat``, ``encode_decode`` and ``forward_train``, and the attributes
    ``num_classes`` and ``align_corners``.

    Attributes:
        CLASSES: Class names; set by whoever knows the data set or reads a checkpoint.
        PALETTE: One RGB colour per class.
        test_cfg: ``mode`` (``'whole'`` or ``'slide'``; then ``crop_size`` and ``stride``, (h, w)).
    """

    CLASSES: Sequence[str] | None = None
    PALETTE: Sequence[Sequence[int]] | None = None
    num_classes: int
    align_corners: bool
    test_cfg: Mapping[str, Any] | None = None

    @property
    def with_neck(self) -> bool:
        """Whether there is a neck."""
        return getattr(self, "neck", None) is not None

    @property
    def with_auxiliary_head(self) -> bool:
        """Whether there are auxiliary heads."""
        return getattr(self, "auxiliary_head", None) is not None

    @property
    def with_decode_head(self) -> bool:
        """Whether there is a decode head."""
        return getattr(self, "decode_head", None) is not None

    @abstractmethod
    def extract_feat(self, img: Tensor) -> Sequence[Tensor]:
        """Feature maps of images (N, C, H, W)."""

    @abstractmethod
    def encode_decode(self, img: Tensor, img_metas: Metas | None = None) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, C, H, W)."""

    def small_logits(self, img: Tensor, img_metas: Metas | None = None) -> Tensor:
        """Logits (N, num_classes, h, w) that ``encode_decode`` gives, before their last bilinear resizing.

        A segmentor that does not tell gives those of ``encode_decode``.
        """
        return self.encode_decode(img, img_metas)

    @abstractmethod
    def forward_train(self, img: Tensor, img_metas: Metas, gt_semantic_seg: Tensor) -> dict[str, Tensor]:
        """Losses of a batch."""

    def forward_dummy(self, img: Tensor) -> Tensor:
        """What the cost counters run: images to logits of their size."""
        return self.encode_decode(img, None)

    def forward(self, img: Any, img_metas: Any, return_loss: bool = True, **kwargs: Any) -> Any:
        """``forward_train`` with ``return_loss``, else ``forward_test``."""
        if return_loss:
            return self.forward_train(img, img_metas, **kwargs)
        return self.forward_test(img, img_metas, **kwargs)

    def predict(self, imgs: Any, img_metas: Any, rescale: bool = True) -> list[Tensor]:
        """Label maps (H, W), int64, on the model's device, one per image; see ``forward_test``."""
        if isinstance(imgs, Tensor):
            imgs, img_metas = [imgs], [img_metas]
        if not imgs or len(imgs) != len(img_metas):
            raise UserError(f"{len(imgs)} augmented batches, but {len(img_metas)} lists of img_metas")
        for batch, metas in zip(imgs, img_metas, strict=True):
            if len(batch) != len(metas) or len(batch) != len(imgs[0]):
                raise UserError(
                    f"a batch of {len(batch)} images has {len(metas)} img_metas and stands beside one of"
                    f" {len(imgs[0])} images; every augmentation needs the same images"
                )
        return inference.predict(self, imgs, img_metas, rescale)

    @torch.no_grad()
    def forward_test(
        self, imgs: Any, img_metas: Any, rescale: bool = True, **kwargs: Any
    ) -> list[np.ndarray]:
        """Label maps of a batch, averaged over its augmentations.

        Args:
            imgs: One batch (N, C, H, W), or a list of them, one per augmentation.
            img_metas: One dictionary per image, or a list of such lists, one per augmentation, with
                ``ori_shape``, ``img_shape`` (both (h, w, ...)), ``flip``, ``flip_direction``.
            rescale: Give label maps of the size ``ori_shape``, without padding; otherwise of the
                input's size, which works for one augmentation only.

        Returns:
            One (H, W) int64 array per image.
        """
        labels = self.predict(imgs, img_metas, rescale)
        # One byte per pixel on the way to the host.
        small = [x.to(torch.uint8) if self.num_classes <= 256 else x for x in labels]
        return [x.cpu().numpy().astype(np.int64) for x in small]

    def simple_test(self, img: Tensor, img_meta: Metas, rescale: bool = True) -> list[np.ndarray]:
        """Label maps of one batch."""
        return self.forward_test(img, img_meta, rescale)

    def aug_test(
        self, imgs: Sequence[Tensor], img_metas: Sequence[Metas], rescale: bool = True
    ) -> list[np.ndarray]:
        """Label maps of one batch seen through several augmentations."""
        return self.forward_test(imgs, img_metas, rescale)

    def train_step(
        self, data_batch: Mapping[str, Any], optimizer: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Losses of a batch; no backward pass, no optimizer step.

        Returns:
            ``loss`` (scalar, attached), ``log_vars`` (name to detached scalar tensor) and
            ``num_samples``.
        """
        loss, log_vars = self.parse_losses(self(**data_batch))
        return {"loss": loss, "log_vars": log_vars, "num_samples": len(data_batch["img_metas"])}

    def val_step(self, data_batch: Mapping[str, Any], optimizer: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Like ``train_step``; the names of ``log_vars`` end in ``_val``."""
        outputs = self.train_step(data_batch, optimizer, **kwargs)
        outputs["log_vars"] = {f"{name}_val": value for name, value in outputs["log_vars"].items()}
        return outputs

    @staticmethod
    def parse_losses(losses: Mapping[str, Tensor | Sequence[Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses, and every entry averaged, for the log.

        Nothing here waits for the device, and nothing is averaged over ranks.

        Args:
            losses: Name to tensor or list of tensors; the names with ``loss`` in them are summed up.

        Returns:
            The loss (scalar, attached) and the detached scalars, the sum among them as ``loss``.
        """
        means: dict[str, Tensor] = {}
        for name, value in losses.items():
            if not isinstance(value, Tensor | list | tuple):
                raise UserError(f"{name} is {type(value).__name__}: a loss is a tensor or a list of tensors")
            means[name] = value.mean() if isinstance(value, Tensor) else sum(v.mean() for v in value)
        parts = [value for name, value in means.items() if "loss" in name]
        if not parts:
            raise UserError(f"none of {sorted(means)} is a loss: its name must contain 'loss'")
        loss = sum(parts[1:], start=parts[0])
        return loss, {name: value.detach() for name, value in {**means, "loss": loss}.items()}

    def show_result(
        self,
        img: np.ndarray | str | Path,
        result: Sequence[np.ndarray] | np.ndarray,
        palette: Sequence[Sequence[int]] | None = None,
        opacity: float = 0.5,
        out_file: str | Path | None = None,
        grey_out: str | Path | bool | None = None,
        show: bool = False,
        win_name: str = "",
        wait_time: float = 0,
        gray_out: str | Path | bool | None = None,
    ) -> np.ndarray:
        """Draw a label map over its image.

        Args:
            img: BGR image (H, W, 3) uint8, or its path.
            result: Label map (H, W), or what ``forward_test`` gave for the image.
            palette: One RGB colour per class; by default the model's ``PALETTE``.
            opacity: Of the label map, from 0 (exclusive) to 1.
            out_file: Where to write the picture.
            grey_out: Where to write the label map itself, as a grey PNG of class indices; True means
                ``gray/NAME.png`` beside ``out_file``. ``gray_out`` means the same.
            show: Open a window with the title ``win_name`` for ``wait_time`` seconds, or until it is
                closed with 0.

        Returns:
            The picture, BGR (H, W, 3) uint8.
        """
        image = _read_image(img)
        label = np.asarray(result[0] if isinstance(result, list | tuple) else result)
        picture = overlay(image, label, self.PALETTE if palette is None else palette, opacity)
        if out_file is not None:
            save_image(out_file, picture)
        grey_out = gray_out if grey_out is None else grey_out
        if grey_out is True:
            if out_file is None:
                raise UserError("grey_out=True writes beside out_file; give out_file, or grey_out a path")
            grey_out = Path(out_file).parent / "gray" / f"{Path(out_file).stem}.png"
        if grey_out:
            save_image(grey_out, label_map_image(label))
        if show:
            _show(picture, win_name, wait_time)
        return picture


def _read_image(img: np.ndarray | str | Path) -> np.ndarray:
    if isinstance(img, np.ndarray):
        return img
    image = cv2.imread(str(img), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{img} is missing or is no image that OpenCV can read")
    return image


def _show(picture: np.ndarray, title: str, seconds: float) -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure(title or None)
    plt.imshow(picture[..., ::-1])
    plt.axis("off")
    plt.show(block=not seconds)
    if seconds:
        plt.pause(seconds)
        plt.close(figure)
