"""Backbone, perhaps a neck, a decode head, and auxiliary heads that only training uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmseg.models.builder import SEGMENTORS, build_backbone, build_head, build_neck
from mmseg.models.layers import resize
from mmseg.models.layers.resize import at_least_float32
from mmseg.models.module import InitCfg
from mmseg.models.segmentors import inference
from mmseg.models.segmentors.base import BaseSegmentor, Metas
from mmseg.utils.errors import UserError


@SEGMENTORS.register_module()
class EncoderDecoder(BaseSegmentor):
    """Encoder-decoder segmentor.

    Args:
        backbone, decode_head, neck: Their configs.
        auxiliary_head: A head's config or a list of them; those of a list draw their classifiers at
            first as ``nn.Conv2d`` does, unless they have an ``init_cfg``.
        train_cfg: Handed to the heads.
        test_cfg: ``mode='whole'`` (default), or ``mode='slide'`` with ``crop_size`` and ``stride``.
        pretrained: A checkpoint for the backbone.
        init_cfg: For the whole model, see :class:`BaseModule`.
        exact: See :attr:`exact`.

    Raises:
        UserError: settings that do not fit together.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        decode_head: dict[str, Any],
        neck: dict[str, Any] | None = None,
        auxiliary_head: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        pretrained: str | None = None,
        init_cfg: InitCfg = None,
        exact: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        if pretrained is not None and isinstance(backbone, dict):
            if backbone.get("pretrained") is not None:
                raise UserError("`pretrained` stands both in `model` and in `model.backbone`; keep one")
            backbone = {**backbone, "pretrained": pretrained}
        self.backbone = build_backbone(backbone)
        if neck is not None:
            self.neck = build_neck(neck)
        self.decode_head = build_head(decode_head)
        self.align_corners = self.decode_head.align_corners
        self.num_classes = self.decode_head.num_classes
        if isinstance(auxiliary_head, list | tuple):
            self.auxiliary_head = nn.ModuleList(build_head(cfg) for cfg in auxiliary_head)
            for head, cfg in zip(self.auxiliary_head, auxiliary_head, strict=True):
                if "init_cfg" not in cfg:  # as in 0.25, the default is for a head that stands alone
                    head.init_cfg = None
        elif auxiliary_head is not None:
            self.auxiliary_head = build_head(auxiliary_head)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self._exact = False
        if exact:
            self.exact = True

    @property
    def exact(self) -> bool:
        """Whether every part computes by MMSegmentation 0.25's sequence of operators.

        Setting it passes it on to every part that has an ``exact`` of its own. The outcome is the
        same up to rounding; the default, false, is faster.
        """
        return self._exact

    @exact.setter
    def exact(self, exact: bool) -> None:
        self._exact = bool(exact)
        for module in self.modules():
            if module is not self and hasattr(module, "exact"):
                module.exact = self._exact

    def extract_feat(self, img: Tensor) -> Sequence[Tensor]:
        feats = self.backbone(img)
        return self.neck(feats) if self.with_neck else feats

    def small_logits(self, img: Tensor, img_metas: Metas | None = None) -> Tensor:
        own = "encode_decode" in vars(self) or type(self).encode_decode is not EncoderDecoder.encode_decode
        return self.encode_decode(img, img_metas) if own else self._head_logits(img, img_metas)

    def _head_logits(self, img: Tensor, img_metas: Metas | None) -> Tensor:
        return self.decode_head.forward_test(self.extract_feat(img), img_metas, self.test_cfg)

    def encode_decode(self, img: Tensor, img_metas: Metas | None = None) -> Tensor:
        logits = self._head_logits(img, img_metas)
        return resize(
            at_least_float32(logits), size=img.shape[2:], mode="bilinear", align_corners=self.align_corners
        )

    def forward_train(self, img: Tensor, img_metas: Metas, gt_semantic_seg: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            img: (N, C, H, W).
            img_metas: One dictionary per image.
            gt_semantic_seg: (N, 1, H, W), int64.

        Returns:
            Losses and accuracies by name: ``decode.loss_ce``, ``decode.acc_seg``, ``aux.loss_ce``,
            or with several auxiliary heads ``aux_0.loss_ce``, ``aux_1.loss_ce``, ...
        """
        feats = self.extract_feat(img)
        heads = {"decode": self.decode_head}
        if self.with_auxiliary_head:
            aux = self.auxiliary_head
            several = isinstance(aux, nn.ModuleList)
            heads |= {f"aux_{i}": head for i, head in enumerate(aux)} if several else {"aux": aux}
        losses = {}
        for prefix, head in heads.items():
            own = head.forward_train(feats, img_metas, gt_semantic_seg, self.train_cfg)
            losses.update({f"{prefix}.{name}": value for name, value in own.items()})
        return losses

    def whole_inference(self, img: Tensor, img_meta: Metas, rescale: bool) -> Tensor:
        """Logits of the images in one piece; with ``rescale`` at the first image's original size."""
        logits = self.encode_decode(img, img_meta)
        return inference.to_original(logits, img_meta[0], self.align_corners) if rescale else logits

    def slide_inference(self, img: Tensor, img_meta: Metas, rescale: bool) -> Tensor:
        """Logits averaged over windows; with ``rescale`` at the first image's original size."""
        logits = inference.logits_of(self, img, img_meta)
        return inference.to_original(logits, img_meta[0], self.align_corners) if rescale else logits

    def inference(self, img: Tensor, img_meta: Metas, rescale: bool) -> Tensor:
        """Soft-max scores (N, num_classes, H, W) of one batch, flipped back."""
        return inference.inference(self, img, img_meta, rescale)
