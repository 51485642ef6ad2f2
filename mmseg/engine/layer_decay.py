"""Learning rates that fall from the head down to the first layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from mmseg.utils.errors import UserError, near_matches

_KEYS = ("num_layers", "decay_rate", "layer_decay_rate", "decay_type")
# (stage, block) in a parameter's name below `backbone.`
_BLOCKS = (
    (re.compile(r"(?:^|\.)layers\.(\d+)\.1\.(\d+)\."), 0),  # MiT
    (re.compile(r"(?:^|\.)(?:stages|layers)[._](\d+)\.blocks\.(\d+)\."), 0),  # Swin, timm's models
    (re.compile(r"(?:^|\.)stages[._](\d+)\.(\d+)\."), 0),  # ConvNeXt
    (re.compile(r"(?:^|\.)layer(\d)\.(\d+)\."), 1),  # ResNet, whose stages count from 1
)
_PLAIN_BLOCK = re.compile(r"(?:^|\.)(?:blocks|layers)\.(\d+)\.\D")  # ViT, which has no stages
_MIT_EMBED = re.compile(r"(?:^|\.)layers\.(\d+)\.0\.(?:projection|norm)\.")
_STAGE = re.compile(r"(?:^|\.)(?:(?:stages|layers)[._]|norm)(\d+)\.")


def layer_multipliers(
    model: nn.Module, paramwise: dict[str, Any]
) -> Iterator[tuple[str, nn.Parameter, float, float]]:
    """Yield ``(name, parameter, lr_mult, decay_mult)`` for every parameter of ``model``, in order.

    The multiplier of the learning rate is ``decay_rate ** (num_layers + 1 - layer)``: the embedding is
    layer 0, the blocks of the backbone (or its stages) are layers 1, 2, ..., and everything outside the
    backbone has 1. Vectors and biases have no weight decay. (Bao et al., 2022, "BEiT: BERT Pre-Training of
    Image Transformers", appendix; MMSegmentation 0.25 has this for BEiT, MAE and ConvNeXt.)

    Args:
        model: With a ``backbone`` whose parameters name stages and blocks: MiT, Swin, ResNet, ViT.
        paramwise: ``decay_rate`` (in 0.25's older constructor ``layer_decay_rate``), ``decay_type``
            (``layer_wise``, the default, or ``stage_wise``), ``num_layers`` (by default the number of blocks
            or stages; a larger number damps all of them more).

    Raises:
        UserError: a value out of range, or a backbone whose layers cannot be told.
    """
    for key in paramwise:
        if key not in _KEYS:
            raise UserError(f"optimizer.paramwise_cfg: unknown key `{key}`{near_matches(key, _KEYS)}")
    rate = paramwise.get("decay_rate", paramwise.get("layer_decay_rate"))
    if not isinstance(rate, int | float) or not 0 < rate <= 1:
        raise UserError(f"optimizer.paramwise_cfg.decay_rate must lie in (0, 1], not {rate!r}")
    kind = paramwise.get("decay_type", "layer_wise")
    if kind not in ("layer_wise", "stage_wise"):
        raise UserError(
            f"optimizer.paramwise_cfg.decay_type is 'layer_wise' or 'stage_wise', not {kind!r}"
            f"{near_matches(str(kind), ['layer_wise', 'stage_wise'])}"
        )
    layers, depth = layers_of(model, by_stage=kind == "stage_wise")
    count = paramwise.get("num_layers", depth)
    if not isinstance(count, int) or count < depth:
        what = "stages" if kind == "stage_wise" else "blocks"
        raise UserError(
            f"optimizer.paramwise_cfg.num_layers is {count!r}, but {type(model.backbone).__name__} has "
            f"{depth} {what}; set num_layers={depth} or leave it out"
        )
    for name, parameter in model.named_parameters():
        layer = layers.get(name, count + 1)
        no_decay = parameter.ndim == 1 or name.endswith(".bias")
        yield name, parameter, float(rate) ** (count + 1 - layer), 0.0 if no_decay else 1.0


def layers_of(model: nn.Module, by_stage: bool = False) -> tuple[dict[str, int], int]:
    """Return the layer of every parameter of ``model.backbone``, by its full name, and the last layer.

    Layer 0 embeds the image. A stage's own patch embedding (MiT) belongs to its first block; its norm and
    its down-sampling to its last one.

    Raises:
        UserError: there is no backbone, or its names tell no layers.
    """
    backbone = getattr(model, "backbone", None)
    names = [] if backbone is None else [name for name, _ in backbone.named_parameters()]
    blocks = {name: block for name in names if (block := _block(name)) is not None}
    if not blocks:
        plain = {name: _PLAIN_BLOCK.search(name) for name in names}
        blocks = {name: (0, int(match[1])) for name, match in plain.items() if match}
    stages = {stage for stage, _ in blocks.values()}
    if not blocks or (by_stage and len(stages) < 2):
        raise UserError(
            f"optimizer.constructor: the names of {type(backbone).__name__}'s parameters tell no "
            f"{'stages' if by_stage else 'blocks'}; use `paramwise_cfg.custom_keys` with lr_mult instead"
        )
    order = {block: i + 1 for i, block in enumerate(sorted(set(blocks.values())))}
    first = {s: min(i for (own, _), i in order.items() if own == s) for s in stages}
    last = {s: max(i for (own, _), i in order.items() if own == s) for s in stages}

    def layer_of(name: str) -> int:
        if name in blocks:
            return blocks[name][0] + 1 if by_stage else order[blocks[name]]
        embed, inside = _MIT_EMBED.search(name), _STAGE.search(name)
        if embed and int(embed[1]) in stages:
            stage = int(embed[1])
            return 0 if stage == 0 else stage + 1 if by_stage else first[stage]
        if inside and int(inside[1]) in stages:
            return int(inside[1]) + 1 if by_stage else last[int(inside[1])]
        return 0

    depth = max(stages) + 1 if by_stage else len(order)
    return {f"backbone.{name}": layer_of(name) for name in names}, depth


def _block(name: str) -> tuple[int, int] | None:
    """(stage, block) of a parameter of a backbone, from 0; None for what is in no block of a stage."""
    for pattern, first in _BLOCKS:
        match = pattern.search(name)
        if match:
            return int(match[1]) - first, int(match[2])
    return None
