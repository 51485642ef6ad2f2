"""Swin Transformers of the original release (Liu et al., 2021), classifiers and segmentors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt

from torch import Tensor

from mmseg.conversion.weights import SWIN_NAME, Layout, Weights, last_number, take_apart

_PARTS = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.relative_position_bias_table": "attn.w_msa.relative_position_bias_table",
    "attn.relative_position_index": "attn.w_msa.relative_position_index",
    "attn.qkv.weight": "attn.w_msa.qkv.weight",
    "attn.qkv.bias": "attn.w_msa.qkv.bias",
    "attn.proj.weight": "attn.w_msa.proj.weight",
    "attn.proj.bias": "attn.w_msa.proj.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "ffn.layers.0.0.weight",
    "mlp.fc1.bias": "ffn.layers.0.0.bias",
    "mlp.fc2.weight": "ffn.layers.1.weight",
    "mlp.fc2.bias": "ffn.layers.1.bias",
}
_SOMETIMES = ("attn.qkv.bias", "attn.relative_position_index")


def convert_swin(weights: Mapping[str, Tensor], source: str = "the checkpoint") -> Weights:
    """Map the original's weights to those of ``SwinTransformer``.

    The channels that a merging of patches joins are put into our order; all else is renamed. The classifier,
    the norm before it (its maps have a norm of their own here) and stored masks are left out.

    Args:
        weights: Of a backbone, or of a segmentor whose backbone is taken.
        source: Where they come from, for messages.

    Raises:
        UserError: not a whole Swin of the original release.
    """
    kept, _ = take_apart(weights, SWIN, source)
    converted: Weights = {}
    for key, value in kept.items():
        if ".downsample." in key:
            value = reorder_merging(value)
        elif key == "absolute_pos_embed" and value.dim() == 4:  # (1, C, H, W) in its segmentors
            value = value.flatten(2).transpose(1, 2).contiguous()
        converted[swin_name(key)] = value
    return converted


def reorder_merging(value: Tensor) -> Tensor:
    """Bring the last dimension (4 * C) from the original's order (column, row, C) to (C, row, column)."""
    parts = value.unflatten(-1, (2, 2, -1))
    return parts.transpose(-3, -1).flatten(-3).contiguous()


def swin_name(key: str) -> str | None:
    """Our name of a key of the original; None for a key that it does not have."""
    if key == "absolute_pos_embed" or re.fullmatch(r"(patch_embed\.norm|norm\d)\.(weight|bias)", key):
        return key
    if re.fullmatch(r"patch_embed\.proj\.(weight|bias)", key):
        return key.replace(".proj.", ".projection.")
    merging = re.fullmatch(r"layers\.(\d)\.(downsample\.(reduction\.weight|norm\.weight|norm\.bias))", key)
    if merging:
        return f"stages.{merging[1]}.{merging[2]}"
    block = re.fullmatch(r"layers\.(\d)\.blocks\.(\d+)\.(.+)", key)
    if not block or block[3] not in _PARTS:
        return None
    return f"stages.{block[1]}.blocks.{block[2]}.{_PARTS[block[3]]}"


def swin_settings(converted: Mapping[str, Tensor]) -> str:
    """The arguments of ``SwinTransformer`` that the converted weights fit, as they stand in a config."""
    table = "stages.{}.blocks.0.attn.w_msa.relative_position_bias_table"
    dims = converted["patch_embed.projection.weight"].shape[0]
    depths = [last_number(rf"stages\.{i}\.blocks\.(\d+)\.", converted) for i in range(4)]
    heads = [converted[table.format(i)].shape[1] for i in range(4)]
    window = (isqrt(converted[table.format(0)].shape[0]) + 1) // 2
    return f"SwinTransformer, embed_dims={dims}, depths={depths}, num_heads={heads}, window_size={window}" + (
        ", use_abs_pos_embed=True" if "absolute_pos_embed" in converted else ""
    )


SWIN = Layout(
    name=SWIN_NAME,
    required=(
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
        *(f"layers.{i}.blocks.0.norm1.weight" for i in range(4)),
        *(
            f"layers.{i}.downsample.{part}"
            for i in range(3)
            for part in ("reduction.weight", "norm.weight", "norm.bias")
        ),
    ),
    block=r"(?P<stage>layers\.\d\.blocks\.)(?P<index>\d+)\.(?P<part>.+)",
    parts=tuple(part for part in _PARTS if part not in _SOMETIMES),
    dropped=r"head\..*|norm\.(weight|bias)|layers\.\d\.blocks\.\d+\.attn_mask",
    rename=swin_name,
    convert=convert_swin,
)
