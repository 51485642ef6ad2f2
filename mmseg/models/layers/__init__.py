"""Small blocks that the models share."""

from __future__ import annotations

from mmseg.models.layers.activation import build_activation
from mmseg.models.layers.checkpointing import checkpointed
from mmseg.models.layers.conv_module import ConvModule
from mmseg.models.layers.drop import DropPath, drop_path, drop_path_rates
from mmseg.models.layers.norm import build_norm_layer, revert_sync_batchnorm
from mmseg.models.layers.patch_embed import PatchEmbed, map_to_tokens, tokens_to_map
from mmseg.models.layers.resize import resize
from mmseg.models.layers.separable import DepthwiseSeparableConvModule

__all__ = [
    "ConvModule",
    "DepthwiseSeparableConvModule",
    "DropPath",
    "PatchEmbed",
    "build_activation",
    "build_norm_layer",
    "checkpointed",
    "drop_path",
    "drop_path_rates",
    "map_to_tokens",
    "resize",
    "revert_sync_batchnorm",
    "tokens_to_map",
]
