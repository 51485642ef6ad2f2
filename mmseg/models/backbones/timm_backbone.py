"""Any model of timm, PyTorch Image Models, as a backbone."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.models.backbones.timm_models import (
    check_name,
    create,
    has_fixed_size,
    load_file,
    load_published,
    refusal_of_size,
)
from mmseg.models.builder import BACKBONES
from mmseg.models.init import initialize, is_pretrained, load_pretrained
from mmseg.models.layers.norm import NORMS
from mmseg.models.module import BaseModule, InitCfg
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

OWN_ARGUMENTS = ("model_name", "features_only", "pretrained", "checkpoint_path", "in_channels", "init_cfg")


@BACKBONES.register_module()
class TIMMBackbone(BaseModule):
    """A model of timm, which stands under ``timm_model`` in the state dict.

    Args:
        model_name: timm's name, with the weights' tag or without: ``'resnet18'``, ``'resnet18.a1_in1k'``.
        features_only: The maps of several depths; which ones, ``out_indices`` says (in timm's count,
            where 0 often is the stem). False: one map, the last before the classifier.
        pretrained: ``init_weights()`` loads the weights that timm offers. A string is a checkpoint of
            this toolbox, as ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        checkpoint_path: A file with weights in timm's format, which ``init_weights()`` loads instead.
        in_channels: Of the images; timm adapts its weights.
        init_cfg: Applied after timm's weights.
        kwargs: Go to ``timm.create_model``: ``out_indices``, ``output_stride``, ``img_size``,
            ``drop_path_rate``, ... ``norm_layer`` may be a name of ``norm_cfg`` (``'SyncBN'``).

    Building reads neither weights nor the network. A model whose input size is fixed (ViT, Swin, ...) is
    opened to others with ``dynamic_img_size`` or ``strict_img_size=False``, unless ``kwargs`` has them;
    where neither exists, the images must have its ``img_size``.

    Forward: (N, in_channels, H, W) to a list of maps (N, C_i, H_i, W_i). Where a model takes only sizes
    that divide by some number, the image is padded at the right and the bottom with zeros, the mean colour
    of a normalised image, and the maps are cut to the part that the image covers.

    Raises:
        UserError: a model or an argument that timm does not know.
    """

    def __init__(
        self,
        model_name: str,
        features_only: bool = True,
        pretrained: bool | str = True,
        checkpoint_path: str = "",
        in_channels: int = 3,
        init_cfg: InitCfg = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(pretrained, str):
            if init_cfg is not None:
                raise UserError("TIMMBackbone takes `pretrained=PATH` or `init_cfg`, not both")
            init_cfg, pretrained = {"type": "Pretrained", "checkpoint": pretrained}, False
        super().__init__(init_cfg)
        check_name(model_name)
        norm = kwargs.get("norm_layer")
        if isinstance(norm, str) and norm in NORMS:
            kwargs["norm_layer"] = NORMS[norm][0]
        self.model_name, self.features_only, self.in_channels = model_name, features_only, in_channels
        self.pretrained, self.checkpoint_path = pretrained, checkpoint_path
        self._args = {"features_only": features_only, "in_chans": in_channels, **kwargs}
        if not features_only:
            self._args["num_classes"] = 0  # no classifier
        self.timm_model = create(model_name, OWN_ARGUMENTS, **copy.deepcopy(self._args))
        if features_only:
            self.out_channels = list(self.timm_model.feature_info.channels())
            stride = max(self.timm_model.feature_info.reduction())
        else:
            self.out_channels, stride = [self.timm_model.num_features], 32
        self._channels_last = str(getattr(self.timm_model, "output_fmt", "")).endswith("NHWC")
        self._candidates = _multiples_to_try(self.timm_model, stride)
        self._multiples: dict[tuple[int, int], int] = {}

    def init_weights(self) -> None:
        """Load timm's weights or ``checkpoint_path``, then do what ``init_cfg`` says; once.

        timm has drawn the weights when the model was built.
        """
        if self._is_init:
            get_root_logger().warning("init_weights of TIMMBackbone ran before; nothing done")
            return
        if self.checkpoint_path:
            load_file(self.timm_model, self.checkpoint_path, self.model_name, **copy.deepcopy(self._args))
        elif self.pretrained:
            load_published(self.timm_model, self.model_name, **copy.deepcopy(self._args))
        for entry in [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []:
            (load_pretrained if is_pretrained(entry) else initialize)(self, entry)
        self._is_init = True

    def forward(self, x: Tensor) -> list[Tensor]:
        height, width = x.shape[2:]
        multiple = self._multiple(height, width)
        if multiple > 1:
            x = F.pad(x, (0, -width % multiple, 0, -height % multiple))
        maps = self.timm_model(x) if self.features_only else [self.timm_model.forward_features(x)]
        if maps[0].dim() != 4:
            raise UserError(
                f"timm's {self.model_name} gives tokens, not a map, with features_only=False; leave it out"
            )
        if self._channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        if multiple > 1:
            rows, columns = x.shape[2:]
            maps = [
                m[..., : -(-height * m.shape[2] // rows), : -(-width * m.shape[3] // columns)] for m in maps
            ]
        return list(maps)

    def _multiple(self, height: int, width: int) -> int:
        """What the sides of an image of this size must be padded to a multiple of; found once per size."""
        if isinstance(height, torch.SymInt) or isinstance(width, torch.SymInt):
            return 1  # of no settled size
        height, width = int(height), int(width)
        exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
        if exporting():  # which allows nobody else to run the model
            return self._multiples.get((height, width), 1)
        if (height, width) not in self._multiples:
            find = self._find_multiple
            if torch.compiler.is_compiling():  # as a decorator it would import the compiler
                find = torch.compiler.disable(find)
            self._multiples[height, width] = find(height, width)
        return self._multiples[height, width]

    def _find_multiple(self, height: int, width: int) -> int:
        refusal, tried = None, []
        for multiple in self._candidates:
            size = (height + -height % multiple, width + -width % multiple)
            if size in tried:
                continue
            tried.append(size)
            reason = refusal_of_size(self.timm_model, self.in_channels, size)
            if reason is None:
                return multiple
            refusal = refusal or reason
        advice = f"use images whose sides divide by {self._candidates[-1]}"
        if has_fixed_size(self.model_name):
            advice = (
                f"its image size is fixed: give the backbone img_size=({height}, {width}), where images of"
                " other sizes are tested with test_cfg=dict(mode='slide', ...) and windows of that size"
            )
        raise UserError(f"timm's {self.model_name} takes no image of {height}x{width} ({refusal}); {advice}")


# Whatever else a config gives goes to timm, so the registry must not refuse it.
_OWN = list(inspect.signature(TIMMBackbone.__init__).parameters.values())[1:]
TIMMBackbone.__signature__ = inspect.Signature(_OWN)


def _multiples_to_try(model: nn.Module, stride: int) -> Sequence[int]:
    """1, the sizes of patches, and the stride of the last map with its next multiples (windows)."""
    patches = set()
    for module in model.modules():
        size = getattr(module, "patch_size", None)
        size = size if isinstance(size, tuple | list) else (size,)
        patches.update(side for side in size if isinstance(side, int) and side > 1)
    return (1, *sorted(patches), stride, 2 * stride, 4 * stride, 8 * stride)
