"""Weights that other projects published, in the names and shapes of this toolbox: what the mappings share.

A mapping is a pure function from a dictionary of tensors to another (``weights_mit``, ``weights_swin``,
``weights_resnet``). It refuses what is not whole or not of its family, and says what it looks like instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

Weights = dict[str, Tensor]
BACKBONE = "backbone."
_NAMED = 4  # keys in a message


@dataclass(frozen=True)
class Layout:
    """How the weights of one family are named where they come from.

    Attributes:
        name: In words, one of those in ``LOOKS``.
        required: Keys that every file of the family has.
        block: Pattern of the keys in blocks, with the groups ``stage`` (what stands before the number of the
            block, and tells the stages apart), ``index`` and ``part``.
        parts: Those that every block has. A part that one block of a stage has, all blocks of it have, but
            for those in ``alone``.
        alone: Pattern of the parts that only some blocks of a stage have.
        dropped: Pattern of the keys that have no counterpart here (the classifier, ...).
        rename: Our name of a key, or None for a key that is not known.
        convert: The mapping.
    """

    name: str
    required: tuple[str, ...]
    block: str
    parts: tuple[str, ...]
    dropped: str
    rename: Callable[[str], str | None]
    convert: Callable[..., Weights]
    alone: str = r"(?!)"

    def recognises(self, weights: Collection[str]) -> bool:
        """Whether these keys are of this layout, by those in ``LOOKS``."""
        found = family(weights)
        return found is not None and found[0] == self.name


# What a file looks like, by the beginning of one of its keys, and what to do with it; the first fit counts.
MIT_NAME = "MiT of the original SegFormer release"
SWIN_NAME = "Swin of the original release"
RESNET_NAME = "a ResNet of torchvision"
_TIMM = "take it with TIMMBackbone"
_OURS = "it is loaded as it is"
LOOKS = (
    (r"patch_embed1\.", MIT_NAME, "convert it with mit2mmseg.py"),
    (r"layers\.0\.0\.projection\.", "MixVisionTransformer in the layout of this toolbox", _OURS),
    (r"stages\.0\.blocks\.0\.attn\.w_msa\.", "SwinTransformer in the layout of this toolbox", _OURS),
    (r"layers\.\d\.blocks\.\d+\.attn\.(logit_scale|cpb_mlp)", "Swin V2", "it is another architecture"),
    (r"layers\.3\.downsample\.", "Swin of timm", _TIMM),
    (r"layers\.0\.(blocks\.0|downsample)\.", SWIN_NAME, "convert it with swin2mmseg.py"),
    (r"downsample_layers\.|stages\.0\.(0\.|blocks\.0\.)(dwconv|conv_dw)", "a ConvNeXt", _TIMM),
    (r"stem\.\d\.|layer1\.0\.downsample\.2\.", "a ResNetV1c or V1d", _OURS),
    (r"conv1\.\d\.weight", "a ResNet of timm with a deep stem", _TIMM),
    (r"layer1\.0\.conv1\.", RESNET_NAME, "convert it with resnet2mmseg.py"),
    (r"(segformer|swin|vit|encoder|embeddings)\.", "a model of the transformers library", _TIMM),
    (r"cls_token|blocks\.0\.attn\.", "a Vision Transformer", _TIMM),
    (r"features\.0\.", "a model of torchvision that is no ResNet", _TIMM),
)


def family(weights: Collection[str]) -> tuple[str, str] | None:
    """What a backbone's keys look like, in words, and what to do with it; None for what is not known."""
    found = ((name, remedy) for sign, name, remedy in LOOKS if any(re.match(sign, key) for key in weights))
    return next(found, None)


def looks_like(weights: Collection[str]) -> str:
    """Say in words what keys look like, and what to do."""
    found = family([key.removeprefix(BACKBONE) for key in weights])
    return f"it looks like {found[0]}; {found[1]}" if found else f"its keys are {listed(weights)}"


def listed(keys: Collection[str]) -> str:
    """The first few of ``keys``, and how many more there are."""
    shown = ", ".join(list(keys)[:_NAMED])
    return f"{shown} and {len(keys) - _NAMED} more" if len(keys) > _NAMED else shown


def backbone_part(weights: Mapping[str, Tensor]) -> Weights:
    """The backbone of a whole segmentor, without the prefix; weights of a backbone alone as they are."""
    inside = {k.removeprefix(BACKBONE): v for k, v in weights.items() if k.startswith(BACKBONE)}
    return inside or dict(weights)


def take_apart(weights: Mapping[str, Tensor], layout: Layout, source: str) -> tuple[Weights, list[str]]:
    """Split weights in what ``layout`` knows and the names of what has no counterpart here.

    Raises:
        UserError: weights of another family, keys that are not known, or keys that are missing.
    """
    backbone = backbone_part(weights)
    if not layout.recognises(backbone):
        raise UserError(f"{source} is no checkpoint of {layout.name}: {looks_like(weights)}")
    dropped = [key for key in weights if key not in backbone and not key.startswith(BACKBONE)]
    dropped += [key for key in backbone if re.fullmatch(layout.dropped, key)]
    left = set(dropped)
    kept = {key: value for key, value in backbone.items() if key not in left}
    unknown = [key for key in kept if layout.rename(key) is None]
    if unknown:
        raise UserError(
            f"{source} is no plain checkpoint of {layout.name}, which does not have the keys"
            f" {listed(unknown)}; give the file as it was published"
        )
    missing = missing_keys(kept, layout)
    if missing:
        raise UserError(
            f"{source} is no whole checkpoint of {layout.name}: it lacks {listed(missing)}; copy or download"
            " it again"
        )
    return kept, dropped


def missing_keys(weights: Collection[str], layout: Layout) -> list[str]:
    """The keys that a whole file of ``layout`` with these blocks would have besides."""
    stages: dict[str, dict[int, set[str]]] = {}
    for key in weights:
        match = re.fullmatch(layout.block, key)
        if match:
            blocks = stages.setdefault(match["stage"], {})
            blocks.setdefault(int(match["index"]), set()).add(match["part"])
    expected = list(layout.required)
    for stage, blocks in stages.items():
        parts = [p for p in sorted(set().union(*blocks.values())) if not re.match(layout.alone, p)]
        parts = [*layout.parts, *(part for part in parts if part not in layout.parts)]
        expected += [f"{stage}{index}.{part}" for index in range(max(blocks) + 1) for part in parts]
    return [key for key in expected if key not in weights]


def from_original(weights: Weights, layout: Layout, source: str) -> Weights:
    """Convert the weights of a file to be loaded where they are of ``layout``; others stay as they are.

    A backbone inside of a segmentor is taken out in both cases.

    Raises:
        UserError: weights of ``layout`` that are not whole.
    """
    backbone = backbone_part(weights)
    if not layout.recognises(backbone):
        return backbone
    converted = layout.convert(backbone, source)
    get_root_logger().info(f"{source}: {layout.name}, converted while loading")
    return converted


def last_number(pattern: str, keys: Iterable[str]) -> int:
    """The largest number that the only group of ``pattern`` takes in ``keys``, plus one; 0 without any."""
    found = (re.match(pattern, key) for key in keys)
    return max((int(match[1]) + 1 for match in found if match), default=0)
