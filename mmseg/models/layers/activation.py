"""Activations by the names that configs use."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from mmseg.registry import Registry

ACTIVATIONS = Registry("activation layer")
for _name, _layer in {
    "ReLU": nn.ReLU,
    "LeakyReLU": nn.LeakyReLU,
    "PReLU": nn.PReLU,
    "RReLU": nn.RReLU,
    "ReLU6": nn.ReLU6,
    "ELU": nn.ELU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Swish": nn.SiLU,
    "HSwish": nn.Hardswish,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
}.items():
    ACTIVATIONS.register_module(_name, module=_layer)


def build_activation(cfg: dict[str, Any], inplace: bool = False) -> nn.Module:
    """Build the activation ``cfg['type']``; ``inplace`` is the default where the layer knows it."""
    layer = ACTIVATIONS.get(cfg["type"]) if isinstance(cfg.get("type"), str) else None
    knows_inplace = layer is not None and "inplace" in inspect.signature(layer).parameters
    return ACTIVATIONS.build(cfg, default_args={"inplace": inplace} if knows_inplace else None)
