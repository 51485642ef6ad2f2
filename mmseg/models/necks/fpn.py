"""Feature pyramid network (Lin et al., 2017, "Feature Pyramid Networks for Object Detection")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.builder import NECKS
from mmseg.models.layers import ConvModule, resize
from mmseg.models.module import BaseModule, InitCfg
from mmseg.registry import check_arguments
from mmseg.utils.errors import UserError

NEAREST = {"mode": "nearest"}
XAVIER = {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}
SOURCES = ("on_input", "on_lateral", "on_output")


@NECKS.register_module()
class FPN(BaseModule):
    """A top-down path that adds each coarser level, resized, to the next finer one.

    Args:
        in_channels: Of the maps, finest first.
        out_channels: Of every level.
        num_outs: Number of levels returned.
        start_level: First map that is used.
        end_level: First map that is not used any more; -1: all are.
        add_extra_convs: Where levels beyond the maps come from: ``False``, subsampling the last level;
            ``'on_input'``, ``'on_lateral'``, ``'on_output'`` (``True`` means this), strided convolutions
            of the last map, of its lateral convolution, or of the last level.
        extra_convs_on_inputs: With ``add_extra_convs=True``, ``'on_input'`` instead.
        relu_before_extra_convs: Before each but the first of these convolutions.
        no_norm_on_lateral: No normalisation after the lateral convolutions.
        conv_cfg, norm_cfg, act_cfg: Of the convolutions.
        upsample_cfg: Arguments of :func:`resize`; without ``scale_factor``, to the finer level's size.

    Forward: a sequence of maps to a tuple of ``num_outs`` maps (N, out_channels, h, w).

    Raises:
        UserError: settings that do not fit together, or to the maps that arrive.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        start_level: int = 0,
        end_level: int = -1,
        add_extra_convs: bool | str = False,
        extra_convs_on_inputs: bool = False,
        relu_before_extra_convs: bool = False,
        no_norm_on_lateral: bool = False,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = None,
        upsample_cfg: dict[str, Any] = NEAREST,
        init_cfg: InitCfg = XAVIER,
    ) -> None:
        super().__init__(init_cfg)
        if not isinstance(in_channels, list | tuple):
            raise UserError(f"FPN: in_channels is a list, one per map, not {in_channels!r}")
        end = len(in_channels) if end_level == -1 else end_level
        _check_levels(len(in_channels), num_outs, start_level, end, end_level)
        if add_extra_convs is True:
            add_extra_convs = "on_input" if extra_convs_on_inputs else "on_output"
        if add_extra_convs is not False and add_extra_convs not in SOURCES:
            raise UserError(f"FPN: add_extra_convs is a bool or one of {SOURCES}, not {add_extra_convs!r}")
        check_arguments(resize, {"input": None, **upsample_cfg})
        self.in_channels, self.out_channels, self.num_outs = list(in_channels), out_channels, num_outs
        self.start_level, self.end_level, self.backbone_end_level = start_level, end_level, end
        self.add_extra_convs, self.relu_before_extra_convs = add_extra_convs, relu_before_extra_convs
        self.no_norm_on_lateral, self.upsample_cfg = no_norm_on_lateral, dict(upsample_cfg)
        layers = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg, "act_cfg": act_cfg}
        lateral = {**layers, "norm_cfg": None} if no_norm_on_lateral else layers
        used = self.in_channels[start_level:end]
        self.lateral_convs = nn.ModuleList(ConvModule(c, out_channels, 1, **lateral) for c in used)
        channels = [out_channels] * num_outs
        self.fpn_convs = nn.ModuleList(
            ConvModule(c, c, 3, padding=1, **layers) for c in channels[: len(used)]
        )
        if self.add_extra_convs:
            extra = channels[len(used) :]
            if self.add_extra_convs == "on_input":
                extra[:1] = used[-1:]
            for c in extra:
                self.fpn_convs.append(ConvModule(c, out_channels, 3, stride=2, padding=1, **layers))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        found = [x.shape[1] for x in inputs]
        if found != self.in_channels:
            raise UserError(f"FPN: in_channels says {self.in_channels}, but the backbone's maps have {found}")
        inputs = inputs[self.start_level : self.backbone_end_level]
        levels = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + self._resize(levels[i], like=levels[i - 1])
        convs = list(self.fpn_convs)
        outs = [conv(x) for conv, x in zip(convs, levels, strict=False)]
        if not self.add_extra_convs:
            while len(outs) < self.num_outs:
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        source = {"on_input": inputs[-1], "on_lateral": levels[-1]}.get(self.add_extra_convs, outs[-1])
        for i, conv in enumerate(convs[len(levels) :]):
            if i > 0:
                source = outs[-1].relu() if self.relu_before_extra_convs else outs[-1]
            outs.append(conv(source))
        return tuple(outs)

    def _resize(self, x: Tensor, like: Tensor) -> Tensor:
        size = {} if "scale_factor" in self.upsample_cfg else {"size": like.shape[2:]}
        return resize(x, **size, **self.upsample_cfg)


def _check_levels(num_ins: int, num_outs: int, start: int, end: int, end_level: int) -> None:
    """Raise ``UserError`` unless ``num_outs`` levels can come from the maps ``start`` to ``end``."""
    if not 0 <= start < end <= num_ins:
        raise UserError(
            f"FPN: start_level={start} and end_level={end_level} (-1: all) must pick some of the {num_ins}"
            " maps"
        )
    if num_outs < end - start or (end_level != -1 and num_outs != end - start):
        rule = "at least" if end_level == -1 else "with an end_level exactly"
        raise UserError(
            f"FPN: num_outs={num_outs}, but the maps {start} to {end - 1} give {end - start} levels; num_outs"
            f" must be {rule} that"
        )
