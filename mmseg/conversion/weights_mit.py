"""Mix Transformers of the original SegFormer release (Xie et al., 2021), ``mit_b0.pth`` to ``mit_b5.pth``."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmseg.conversion.weights import MIT_NAME, Layout, Weights, last_number, take_apart

_PARTS = {
    "norm1": "norm1",
    "attn.q": "attn.attn.in_proj",
    "attn.kv": "attn.attn.in_proj",
    "attn.proj": "attn.attn.out_proj",
    "attn.sr": "attn.sr",
    "attn.norm": "attn.norm",
    "norm2": "norm2",
    "mlp.fc1": "ffn.layers.0",
    "mlp.dwconv.dwconv": "ffn.layers.1",
    "mlp.fc2": "ffn.layers.4",
}
_ALWAYS = ("norm1", "attn.proj", "norm2", "mlp.fc1", "mlp.dwconv.dwconv", "mlp.fc2")


def convert_mit(weights: Mapping[str, Tensor], source: str = "the checkpoint") -> Weights:
    """Map the original's weights to those of ``MixVisionTransformer``.

    Queries, keys and values become one matrix (``attn.q`` over ``attn.kv``), the two linear layers of the
    Mix-FFN become 1x1 convolutions; all else is renamed. The classifier is left out.

    Args:
        weights: Of a backbone, or of a segmentor whose backbone is taken.
        source: Where they come from, for messages.

    Raises:
        UserError: not a whole MiT of the original release.
    """
    kept, _ = take_apart(weights, MIT, source)
    converted: Weights = {}
    for key, value in kept.items():
        if ".attn.kv." in key:
            continue
        if ".attn.q." in key:
            value = torch.cat([value, kept[key.replace(".attn.q.", ".attn.kv.")]])
        elif re.search(r"\.mlp\.fc[12]\.weight$", key):
            value = value[:, :, None, None]
        converted[mit_name(key)] = value
    return converted


def mit_name(key: str) -> str | None:
    """Our name of a key of the original; None for a key that it does not have."""
    embed = re.fullmatch(r"patch_embed([1-4])\.(proj|norm)\.(weight|bias)", key)
    if embed:
        part = "projection" if embed[2] == "proj" else "norm"
        return f"layers.{int(embed[1]) - 1}.0.{part}.{embed[3]}"
    norm = re.fullmatch(r"norm([1-4])\.(weight|bias)", key)
    if norm:
        return f"layers.{int(norm[1]) - 1}.2.{norm[2]}"
    block = re.fullmatch(r"block([1-4])\.(\d+)\.(.+)\.(weight|bias)", key)
    if not block or block[3] not in _PARTS:
        return None
    part = _PARTS[block[3]]
    joint = "_" if part.endswith("in_proj") else "."  # in_proj_weight is a parameter, not a layer's
    return f"layers.{int(block[1]) - 1}.1.{block[2]}.{part}{joint}{block[4]}"


def mit_settings(converted: Mapping[str, Tensor]) -> str:
    """The arguments of ``MixVisionTransformer`` that the converted weights fit, as they stand in a config."""
    dims = converted["layers.0.0.projection.weight"].shape[0]
    layers = [last_number(rf"layers\.{i}\.1\.(\d+)\.", converted) for i in range(4)]
    heads = [converted[f"layers.{i}.2.weight"].shape[0] // dims for i in range(4)]
    return f"MixVisionTransformer, embed_dims={dims}, num_layers={layers}, num_heads={heads}"


MIT = Layout(
    name=MIT_NAME,
    required=tuple(
        f"{part}.{kind}"
        for i in range(1, 5)
        for part in (f"patch_embed{i}.proj", f"patch_embed{i}.norm", f"norm{i}", f"block{i}.0.norm1")
        for kind in ("weight", "bias")
    ),
    block=r"(?P<stage>block\d\.)(?P<index>\d+)\.(?P<part>.+)",
    parts=(
        *(f"{part}.{kind}" for part in _ALWAYS for kind in ("weight", "bias")),
        *(f"attn.{part}.{kind}" for part in ("q", "kv") for kind in ("weight", "bias")),
    ),
    dropped=r"head\..*",
    rename=mit_name,
    convert=convert_mit,
)
