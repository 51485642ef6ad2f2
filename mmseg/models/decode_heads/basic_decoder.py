"""BasicDecoder: the decoder of the baseline, three transposed convolutions and an interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.layers import resize
from mmseg.models.module import InitCfg
from mmseg.utils.errors import UserError


@HEADS.register_module()
class BasicDecoder(BaseDecodeHead):
    """Three transposed 4x4 convolutions of stride 2, without bias, then a fixed output size.

    There is nothing between them, so the head as a whole is linear. ``conv_seg``, which every head of
    MMSegmentation 0.25 has, exists for the sake of its checkpoints and takes no part: it is frozen, for
    DistributedDataParallel refuses a weight that waits for a gradient and gets none. So ``channels`` and
    ``dropout_ratio`` have no effect on the logits. The weights start as PyTorch draws them.

    Args:
        input_size: (h, w) of the logits, whatever the size of the image.
        n_class: Need not be given: ``num_classes``, or 1 with ``task='binary'``.
        exact: Resize twice, the second time onto the same size: the sequence of the recorded cost. By
            default once; the logits are equal.
        **kwargs: Those of :class:`BaseDecodeHead`.

    Raises:
        UserError: ``input_size`` is no pair of sizes, or ``n_class`` is not the number of the logits.
    """

    def __init__(
        self,
        input_size: Sequence[int],
        n_class: int | None = None,
        exact: bool = False,
        init_cfg: InitCfg = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(init_cfg=init_cfg, **kwargs)
        sizes = list(input_size) if isinstance(input_size, list | tuple) else []
        if len(sizes) != 2 or not all(isinstance(side, int) and side > 0 for side in sizes):
            raise UserError(f"BasicDecoder: input_size is (height, width) of the logits, not {input_size!r}")
        if n_class not in (None, self.out_channels):
            raise UserError(
                f"BasicDecoder: n_class={n_class} must equal the {self.out_channels} channels of the logits"
                " (num_classes; with task='binary' 1); leave it out"
            )
        self.input_size, self.exact = (sizes[0], sizes[1]), exact
        classes = self.out_channels
        up = {"kernel_size": 4, "stride": 2, "bias": False}
        self.upsample_cov1 = nn.ConvTranspose2d(self.in_channels, classes, output_padding=1, **up)
        self.upsample_cov2 = nn.ConvTranspose2d(classes, classes, **up)
        self.upsample_cov3 = nn.ConvTranspose2d(classes, classes, padding=1, **up)
        self.conv_seg.requires_grad_(False)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(feats)
        x = self.upsample_cov3(self.upsample_cov2(self.upsample_cov1(x)))
        # Of all resizing this one alone aligns corners, whatever `align_corners` says of the losses.
        for _ in range(2 if self.exact else 1):
            x = resize(x, self.input_size, mode="bilinear", align_corners=True)
        return x
