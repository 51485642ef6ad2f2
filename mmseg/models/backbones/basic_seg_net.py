"""BasicSegNet: a plain stack of convolutions and pools, after FCN (Long et al., 2015, "Fully
Convolutional Networks for Semantic Segmentation") without its skips."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.builder import BACKBONES
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError

MIN_SIZE = 33  # conv5_1 has no padding, so that it needs 3x3 of 1/16, rounded up


@BACKBONES.register_module()
class BasicSegNet(BaseModule):
    """The encoder of the baseline: five convolutional stages, 2x2 max-pools after the first four.

    The weights start as PyTorch draws them.

    Args:
        n_class: Channels of the output, one per class.
        in_channels: Channels of the image.
        pretrained: A checkpoint for ``init_weights()``, the same as
            ``init_cfg=dict(type='Pretrained', checkpoint=...)``.

    Forward: (N, in_channels, H, W) of any H, W >= 33 to a list of one map (N, n_class, h, w), where h is
    H / 16, rounded up, less 2, and w likewise.

    Raises:
        UserError: the image is smaller than that.
    """

    def __init__(
        self,
        n_class: int = 19,
        in_channels: int = 3,
        pretrained: str | None = None,
        init_cfg: InitCfg = None,
    ) -> None:
        if pretrained is not None and init_cfg is not None:
            raise UserError("BasicSegNet takes `pretrained` or `init_cfg`, not both")
        super().__init__({"type": "Pretrained", "checkpoint": pretrained} if pretrained else init_cfg)
        self.out_channels = [n_class]
        self.conv1_1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1)
        self.conv1_2 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv2_1 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.conv3_1 = nn.Conv2d(128, 256, kernel_size=3, padding=1)
        self.conv4_1 = nn.Conv2d(256, 512, kernel_size=3, padding=1)
        self.conv5_1 = nn.Conv2d(512, 2048, kernel_size=3)
        self.conv5_2 = nn.Conv2d(2048, 2048, kernel_size=1)
        self.conv5_3 = nn.Conv2d(2048, n_class, kernel_size=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        if x.shape[2] < MIN_SIZE or x.shape[3] < MIN_SIZE:  # not min(): see layers/exporting.py
            raise UserError(
                f"the image is too small for BasicSegNet: {x.shape[2]}x{x.shape[3]}; use images of at least"
                f" {MIN_SIZE}x{MIN_SIZE}"
            )
        x = F.relu_(self.conv1_1(x))
        for conv in (self.conv1_2, self.conv2_1, self.conv3_1, self.conv4_1):
            # The largest of the rectified values is the rectified largest, on a quarter of the pixels.
            x = F.relu_(F.max_pool2d(conv(x), kernel_size=2, ceil_mode=True))
        x = F.relu_(self.conv5_1(x))
        x = F.relu_(self.conv5_2(x))
        return [self.conv5_3(x)]
