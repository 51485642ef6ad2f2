"""ResNet (He et al., 2016, "Deep Residual Learning for Image Recognition") and its variants V1c and V1d
(He et al., 2019, "Bag of Tricks for Image Classification with Convolutional Neural Networks", section 4),
with dilated stages (Chen et al., 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg.models.backbones.indices import check_indices
from mmseg.models.backbones.resnet_blocks import BasicBlock, Bottleneck, make_stage
from mmseg.models.builder import BACKBONES
from mmseg.models.init import constant_init, initialize
from mmseg.models.layers import build_norm_layer
from mmseg.models.layers.conv_module import check_conv_cfg
from mmseg.models.layers.fold import ConvNormSequential
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError

BN = {"type": "BN", "requires_grad": True}

# depth -> block, and how many of it each stage has (table 1 of the paper)
DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}

DEFAULT_INIT = (
    {"type": "Kaiming", "layer": "Conv2d"},
    {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
)


@BACKBONES.register_module()
class ResNet(BaseModule):
    """ResNet: a stem, a max pooling and up to four stages of residual blocks.

    Args:
        depth: 18, 34, 50, 101 or 152.
        stem_channels: Of the stem.
        base_channels: Of the 3x3 convolutions of the first stage; each stage doubles them. A stage
            returns that many channels for depths 18 and 34, four times as many for the others.
        num_stages: 1 to 4.
        strides, dilations: One number per stage. ``(1, 2, 1, 1)`` with ``(1, 1, 2, 4)`` keeps the last
            three maps at 1/8 of the size.
        out_indices: The stages whose maps are returned.
        style: ``'pytorch'`` puts a bottleneck's stride on its 3x3 convolution, ``'caffe'`` on its first.
        deep_stem: Three 3x3 convolutions in the stem instead of one 7x7.
        avg_down: Average pooling and a 1x1 convolution in the shortcuts instead of a strided one.
        frozen_stages: How many stages, from the first, keep their weights and stay in evaluation mode;
            0 freezes the stem only, -1 nothing.
        norm_cfg: ``BN``, ``SyncBN``, ``GN``, ...
        norm_eval: Keep all batch normalisation in evaluation mode: running statistics are used and
            left alone, weights are trained.
        multi_grid: The dilation of each block of the last stage, in place of its ``dilations``; entries
            beyond its blocks are not used.
        contract_dilation: Halve the dilation of the first block of each dilated stage.
        with_cp: Recompute the blocks in the backward pass instead of keeping their activations.
        zero_init_residual: Start every block as its shortcut: the weight of its last norm is 0.
        dcn, stage_with_dcn, plugins: Deformable convolution and plug-in blocks of old configs; they
            are not here, and a config that asks for them is refused.
        pretrained: A checkpoint for ``init_weights()``, the same as
            ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        init_cfg: By default convolutions as in He et al., 2015, norms 1 and 0.

    Forward: (N, in_channels, H, W) to a tuple of maps (N, C_i, H_i, W_i), with the default strides at
    1/4, 1/8, 1/16, 1/32 of the size, rounded up.

    Raises:
        UserError: settings that do not fit together.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        stem_channels: int = 64,
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        style: str = "pytorch",
        deep_stem: bool = False,
        avg_down: bool = False,
        frozen_stages: int = -1,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] = BN,
        norm_eval: bool = False,
        dcn: dict[str, Any] | None = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        plugins: Sequence[dict[str, Any]] | None = None,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        pretrained: str | None = None,
        init_cfg: InitCfg = None,
    ) -> None:
        name = type(self).__name__
        if pretrained is not None and init_cfg is not None:
            raise UserError(f"{name} takes `pretrained` or `init_cfg`, not both")
        super().__init__({"type": "Pretrained", "checkpoint": pretrained} if pretrained else init_cfg)
        _check(name, depth, num_stages, strides, dilations, out_indices, style, frozen_stages, multi_grid)
        check_conv_cfg(conv_cfg)
        if (dcn is not None and any(stage_with_dcn)) or plugins:
            asked = "plugins" if plugins else "dcn"
            raise UserError(f"{name}: `{asked}` is not supported; leave it out, the other weights still load")
        block, blocks = DEPTHS[depth]
        self.depth, self.num_stages = depth, num_stages
        self.out_indices = tuple(out_indices)
        self.out_channels = [base_channels * 2**i * block.expansion for i in sorted(set(out_indices))]
        self.deep_stem, self.frozen_stages, self.norm_eval = deep_stem, frozen_stages, norm_eval
        self.zero_init_residual = zero_init_residual
        self._make_stem(in_channels, stem_channels, norm_cfg)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.res_layers = []
        channels = stem_channels
        for i in range(num_stages):
            stage = make_stage(
                block,
                channels,
                base_channels * 2**i,
                blocks[i],
                stride=strides[i],
                dilation=dilations[i],
                style=style,
                avg_down=avg_down,
                norm_cfg=norm_cfg,
                contract_dilation=contract_dilation,
                multi_grid=multi_grid if i == num_stages - 1 else None,
                with_cp=with_cp,
            )
            channels = base_channels * 2**i * block.expansion
            self.add_module(f"layer{i + 1}", stage)
            self.res_layers.append(f"layer{i + 1}")
        for module in self._frozen():
            module.requires_grad_(False)

    def _make_stem(self, in_channels: int, channels: int, norm_cfg: dict[str, Any]) -> None:
        """Half the size: ``stem`` for three convolutions, ``conv1`` and the first norm for one."""
        if not self.deep_stem:
            self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=7, stride=2, padding=3, bias=False)
            self.norm1_name, norm = build_norm_layer(norm_cfg, channels, postfix=1)
            self.add_module(self.norm1_name, norm)
            self.relu = nn.ReLU(inplace=True)
            return
        layers: list[nn.Module] = []
        for out_channels, stride in ((channels // 2, 2), (channels // 2, 1), (channels, 1)):
            conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
            layers += [conv, build_norm_layer(norm_cfg, out_channels)[1], nn.ReLU(inplace=True)]
            in_channels = out_channels
        self.stem = ConvNormSequential(*layers)

    @property
    def norm1(self) -> nn.Module:
        """The normalisation after the 7x7 convolution; a deep stem has none of that name."""
        return getattr(self, self.norm1_name)

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        stem = [self.stem] if self.deep_stem else [self.conv1, self.norm1]
        return stem + [getattr(self, name) for name in self.res_layers[: self.frozen_stages]]

    def train(self, mode: bool = True) -> ResNet:
        """Set the mode; what is frozen, and with ``norm_eval`` all batch norm, stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def default_init(self) -> None:
        """Draw the weights, unless ``init_cfg`` says how."""
        entries = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []
        if any(entry.get("type") != "Pretrained" for entry in entries):
            return
        for entry in DEFAULT_INIT:
            initialize(self, entry)
        if self.zero_init_residual:
            for name in self.res_layers:
                for block in getattr(self, name):
                    constant_init(block.last_norm, 0.0)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        x = self.maxpool(x)
        outs = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)


class _Variant(ResNet):
    """A ResNet whose stem and shortcuts are settled."""

    settled: dict[str, bool]

    def __init__(self, **kwargs: Any) -> None:
        for key, value in self.settled.items():
            if kwargs.setdefault(key, value) != value:
                raise UserError(
                    f"{type(self).__name__} is the ResNet with {key}={value}, so {key}={kwargs[key]} does not"
                    " fit; leave it out, or use type='ResNet'"
                )
        super().__init__(**kwargs)


@BACKBONES.register_module()
class ResNetV1c(_Variant):
    """:class:`ResNet` with a stem of three 3x3 convolutions; takes the same arguments."""

    settled = {"deep_stem": True, "avg_down": False}


@BACKBONES.register_module()
class ResNetV1d(_Variant):
    """:class:`ResNetV1c` that also averages in the shortcuts; takes the same arguments."""

    settled = {"deep_stem": True, "avg_down": True}


def _check(
    name: str,
    depth: int,
    num_stages: int,
    strides: Sequence[int],
    dilations: Sequence[int],
    out_indices: Sequence[int],
    style: str,
    frozen_stages: int,
    multi_grid: Sequence[int] | None,
) -> None:
    if depth not in DEPTHS:
        raise UserError(f"{name}: depth={depth!r} must be one of {', '.join(map(str, DEPTHS))}")
    if not isinstance(num_stages, int) or not 1 <= num_stages <= 4:
        raise UserError(f"{name}: num_stages={num_stages!r} must lie between 1 and 4")
    for key, values in (("strides", strides), ("dilations", dilations)):
        if not isinstance(values, list | tuple) or len(values) != num_stages:
            raise UserError(
                f"{name}: {key}={values} must have one entry for each of num_stages={num_stages} stages"
            )
    check_indices(name, out_indices, num_stages)
    if style not in ("pytorch", "caffe"):
        raise UserError(f"{name}: style={style!r} must be 'pytorch' or 'caffe'")
    if not isinstance(frozen_stages, int) or not -1 <= frozen_stages <= num_stages:
        raise UserError(
            f"{name}: frozen_stages={frozen_stages} must lie between -1 and the {num_stages} stages"
        )
    last = DEPTHS[depth][1][num_stages - 1]
    if multi_grid is not None and (not isinstance(multi_grid, list | tuple) or len(multi_grid) < last):
        raise UserError(
            f"{name}: multi_grid={multi_grid} needs a dilation for each of the {last} blocks of"
            " the last stage"
        )
