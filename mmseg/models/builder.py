"""The registries of models and their parts, and the functions that build from them."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmseg.registry import Registry
from mmseg.utils.errors import UserError

BACKBONES = Registry("backbone")
NECKS = Registry("neck")
HEADS = Registry("head")
LOSSES = Registry("loss")
SEGMENTORS = Registry("segmentor")
PIXEL_SAMPLERS = Registry("pixel sampler")


def build_backbone(cfg: dict[str, Any]) -> nn.Module:
    """Build the backbone that ``cfg['type']`` names; weights are not read (``init_weights`` does)."""
    return BACKBONES.build(cfg)


def build_neck(cfg: dict[str, Any]) -> nn.Module:
    """Build a neck: feature maps in, feature maps out."""
    return NECKS.build(cfg)


def build_head(cfg: dict[str, Any]) -> nn.Module:
    """Build a decode head or an auxiliary head."""
    return HEADS.build(cfg)


def build_loss(cfg: dict[str, Any]) -> nn.Module:
    """Build a loss."""
    return LOSSES.build(cfg)


def build_pixel_sampler(cfg: dict[str, Any], context: nn.Module) -> Any:
    """Build a pixel sampler for the head ``context``, whose losses and ignored index it uses."""
    return PIXEL_SAMPLERS.build(cfg, default_args={"context": context})


def build_segmentor(
    cfg: dict[str, Any], train_cfg: dict[str, Any] | None = None, test_cfg: dict[str, Any] | None = None
) -> nn.Module:
    """Build a segmentor from the ``model`` section of a config.

    Args:
        cfg: A plain dictionary (lists where config files have tuples) with ``type``.
        train_cfg, test_cfg: Where the config keeps them outside of ``model``, as old files do.

    Raises:
        UserError: ``train_cfg`` or ``test_cfg`` stands both inside ``cfg`` and outside.
    """
    if not isinstance(cfg, dict):
        raise UserError(f"a model is described by a dictionary with `type`, not by {cfg!r}")
    args = dict(cfg)
    for name, outer in (("train_cfg", train_cfg), ("test_cfg", test_cfg)):
        if outer is None:
            continue
        if args.get(name) is not None:
            raise UserError(f"`{name}` stands both in `model` and beside it; keep the one in `model`")
        args[name] = outer
    return SEGMENTORS.build(args)
