"""What every head has: the choice of its inputs, the classifier and the losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import build_loss, build_pixel_sampler
from mmseg.models.decode_heads.channels import check_channels, check_one_channel
from mmseg.models.decode_heads.inputs import check_numbers
from mmseg.models.decode_heads.resized_losses import can_take_small_logits, small_logit_losses
from mmseg.models.layers import resize
from mmseg.models.layers.conv_module import check_conv_cfg
from mmseg.models.layers.resize import at_least_float32, resize_unless_same
from mmseg.models.losses import accuracy, two_channels
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError

RELU = {"type": "ReLU"}
CROSS_ENTROPY = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
BINARY_CROSS_ENTROPY = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0}
CLASSIFIER_INIT = {"type": "Normal", "std": 0.01, "override": {"name": "conv_seg"}}
TRANSFORMS = (None, "resize_concat", "multiple_select")


class BaseDecodeHead(BaseModule, ABC):
    """Base class of the heads; a head adds its layers and ``forward``.

    ``forward(feats)`` takes the backbone's (or neck's) maps, picks its inputs with
    ``_transform_inputs``, and returns logits (N, out_channels, h, w) at its own resolution, by
    convention through ``cls_seg``.

    Args:
        in_channels: Channels of the input; a list of them with an ``input_transform``.
        channels: Channels before the classifier.
        num_classes: Number of classes.
        out_channels: Channels of the logits: ``num_classes``, or 1 with ``task='binary'``; need not be
            given. 1 with two classes means ``task='binary'`` (and by default a threshold of 0.3, that of
            the format with this spelling).
        dropout_ratio: Of whole channels before the classifier.
        norm_cfg, act_cfg: Of the head's convolutions.
        in_index: Which of the maps; a list of indices with an ``input_transform``.
        input_transform: ``'resize_concat'``: resize to the first map and join the channels;
            ``'multiple_select'``: hand on the list; None: the one map ``in_index``.
        loss_decode: One loss or a list; those with the same ``loss_name`` are added up.
        ignore_index: Label of pixels without a class.
        sampler: A pixel sampler, which weighs the pixels of the losses.
        align_corners: Of the bilinear resizing.
        task: 'binary' for background (0) and foreground (1) with one logit per pixel, that of the
            foreground. ``num_classes`` is 2, and the losses must be able to take one channel: by default
            ``CrossEntropyLoss(use_sigmoid=True)``.
        threshold: With ``task='binary'`` the probability above which a pixel is foreground, by default
            0.5.

    Attributes:
        exact: Compute by MMSegmentation 0.25's sequence of operators. By default (false) a CPU takes a
            soft-max cross entropy image by image; the outcome is the same up to rounding.

    Raises:
        UserError: settings that do not fit together, or to the maps that arrive.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int,
        *,
        num_classes: int | None = None,
        out_channels: int | None = None,
        dropout_ratio: float = 0.1,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = RELU,
        in_index: int | Sequence[int] = -1,
        input_transform: str | None = None,
        loss_decode: dict[str, Any] | Sequence[dict[str, Any]] = CROSS_ENTROPY,
        ignore_index: int = 255,
        sampler: dict[str, Any] | None = None,
        align_corners: bool = False,
        init_cfg: InitCfg = CLASSIFIER_INIT,
        task: str | None = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_conv_cfg(conv_cfg)
        check_numbers(type(self).__name__, in_channels, channels, dropout_ratio)
        settings = check_channels(type(self).__name__, task, num_classes, out_channels, threshold)
        self.task, self.num_classes, self.out_channels, self.threshold = settings
        self._init_inputs(in_channels, in_index, input_transform)
        self.channels, self.exact = channels, False
        self.dropout_ratio, self.align_corners, self.ignore_index = dropout_ratio, align_corners, ignore_index
        self.conv_cfg, self.norm_cfg, self.act_cfg = conv_cfg, norm_cfg, act_cfg
        if self.task == "binary" and loss_decode is CROSS_ENTROPY:
            loss_decode = BINARY_CROSS_ENTROPY
        if isinstance(loss_decode, dict):
            self.loss_decode = build_loss(loss_decode)
        elif isinstance(loss_decode, list | tuple) and loss_decode:
            self.loss_decode = nn.ModuleList(build_loss(cfg) for cfg in loss_decode)
        else:
            raise UserError(f"loss_decode is a loss or a list of them, not {loss_decode!r}")
        if self.task == "binary":
            check_one_channel(type(self).__name__, self._losses())
        self.sampler = build_pixel_sampler(sampler, context=self) if sampler is not None else None
        self.conv_seg = nn.Conv2d(channels, self.out_channels, kernel_size=1)
        self.dropout = nn.Dropout2d(dropout_ratio) if dropout_ratio > 0 else None

    def _init_inputs(
        self, in_channels: int | Sequence[int], in_index: int | Sequence[int], input_transform: str | None
    ) -> None:
        name = type(self).__name__
        if input_transform not in TRANSFORMS:
            raise UserError(
                f"{name}: input_transform is one of {', '.join(map(repr, TRANSFORMS))}, not"
                f" {input_transform!r}"
            )
        several = isinstance(in_channels, list | tuple), isinstance(in_index, list | tuple)
        if input_transform is None and any(several):
            raise UserError(
                f"{name}: without input_transform, in_channels={in_channels} and in_index={in_index} must be"
                " single numbers"
            )
        if input_transform is not None and (not all(several) or len(in_channels) != len(in_index)):
            raise UserError(
                f"{name}: in_channels={in_channels} and in_index={in_index} must be lists of the same length"
            )
        self.input_transform = input_transform
        self.in_index = list(in_index) if several[1] else in_index
        self._expected_channels = list(in_channels) if several[0] else [in_channels]
        if input_transform == "resize_concat":
            self.in_channels = sum(in_channels)
        else:
            self.in_channels = list(in_channels) if several[0] else in_channels

    def _transform_inputs(self, feats: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Pick this head's inputs from ``feats``, as ``in_index`` and ``input_transform`` say."""
        indices = self.in_index if isinstance(self.in_index, list) else [self.in_index]
        picked = [self._pick(feats, i, c) for i, c in zip(indices, self._expected_channels, strict=True)]
        if self.input_transform is None:
            return picked[0]
        if self.input_transform == "multiple_select":
            return picked
        size = picked[0].shape[2:]
        return torch.cat([resize(x, size, None, "bilinear", self.align_corners) for x in picked], dim=1)

    def _pick(self, feats: Sequence[Tensor], index: int, channels: int) -> Tensor:
        if not -len(feats) <= index < len(feats):
            raise UserError(
                f"{type(self).__name__}: in_index {index} does not exist: there are {len(feats)} feature maps"
            )
        if feats[index].shape[1] != channels:
            raise UserError(
                f"{type(self).__name__}: in_channels says {channels} for in_index {index}, but that feature"
                f" map has {feats[index].shape[1]} channels"
            )
        return feats[index]

    @abstractmethod
    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) of feature maps."""

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Dropout and classifier: (N, channels, h, w) to (N, out_channels, h, w)."""
        if self.dropout is not None:
            feat = self.dropout(feat)
        return self.conv_seg(feat)

    def forward_train(
        self,
        inputs: Sequence[Tensor],
        img_metas: Sequence[dict[str, Any]],
        gt_semantic_seg: Tensor,
        train_cfg: dict[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch; ``gt_semantic_seg`` (N, 1, H, W), int64."""
        return self.losses(self(inputs), gt_semantic_seg)

    def forward_test(
        self,
        inputs: Sequence[Tensor],
        img_metas: Sequence[dict[str, Any]] | None = None,
        test_cfg: dict[str, Any] | None = None,
    ) -> Tensor:
        """Logits of a batch."""
        return self(inputs)

    def losses(self, seg_logit: Tensor, seg_label: Tensor) -> dict[str, Tensor]:
        """Losses, and the accuracy ``acc_seg`` in percent.

        Args:
            seg_logit: (N, out_channels, h, w); from half precision on the losses are float32.
            seg_label: (N, 1, H, W), int64.
        """
        seg_logit = at_least_float32(seg_logit)
        if not self.exact and can_take_small_logits(seg_logit, self._losses(), self.sampler):
            return small_logit_losses(
                seg_logit,
                seg_label.squeeze(1),
                losses=self._losses(),
                sampler=self.sampler,
                ignore_index=self.ignore_index,
                align_corners=self.align_corners,
            )
        seg_logit = resize_unless_same(seg_logit, seg_label.shape[2:], "bilinear", self.align_corners)
        weight = None if self.sampler is None else self.sampler.sample(seg_logit, seg_label)
        label = seg_label.squeeze(1)
        losses: dict[str, Tensor] = {}
        for module in self._losses():
            value = module(seg_logit, label, weight=weight, ignore_index=self.ignore_index)
            name = module.loss_name
            losses[name] = losses[name] + value if name in losses else value
        scores = seg_logit if self.threshold is None else two_channels(seg_logit, self.threshold)
        losses["acc_seg"] = accuracy(scores, label, ignore_index=self.ignore_index)
        return losses

    def _losses(self) -> Sequence[nn.Module]:
        return self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
