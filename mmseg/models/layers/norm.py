"""Normalisation layers by the names that configs use."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmseg.registry import check_arguments
from mmseg.utils.errors import UserError, near_matches

# type in a config -> (layer, its short name, which is its key in a ConvModule's state dict)
NORMS: dict[str, tuple[type[nn.Module], str]] = {
    "BN": (nn.BatchNorm2d, "bn"),
    "BN1d": (nn.BatchNorm1d, "bn"),
    "BN2d": (nn.BatchNorm2d, "bn"),
    "BN3d": (nn.BatchNorm3d, "bn"),
    "SyncBN": (nn.SyncBatchNorm, "bn"),
    "MMSyncBN": (nn.SyncBatchNorm, "bn"),
    "GN": (nn.GroupNorm, "gn"),
    "LN": (nn.LayerNorm, "ln"),
    "IN": (nn.InstanceNorm2d, "in"),
    "IN2d": (nn.InstanceNorm2d, "in"),
}


def build_norm_layer(
    cfg: dict[str, Any], num_features: int, postfix: int | str = ""
) -> tuple[str, nn.Module]:
    """Build a normalisation layer.

    Args:
        cfg: ``type`` (a key of ``NORMS``), the layer's own arguments (``eps``, ``momentum``,
            ``num_groups``, ...) and ``requires_grad`` (default true), which freezes weight and bias.
        num_features: Channels.
        postfix: Appended to the short name: ``('bn1', layer)`` for ``postfix=1``.

    Returns:
        The name under which 0.25's state dicts keep it, and the layer.

    Raises:
        UserError: an unknown type or argument.
    """
    if not isinstance(cfg, dict):
        raise UserError(f"norm_cfg is a dictionary such as dict(type='BN'), not {cfg!r}")
    args = dict(cfg)
    kind = args.pop("type", None)
    if kind not in NORMS:
        raise UserError(
            f"unknown normalisation layer `{kind}` in norm_cfg{near_matches(str(kind), NORMS)}"
            f" (known: {', '.join(NORMS)})"
        )
    requires_grad = args.pop("requires_grad", True)
    layer_type, name = NORMS[kind]
    if layer_type is nn.GroupNorm:
        args["num_channels"] = num_features
        check_arguments(layer_type, args)
        layer = layer_type(**args)
    else:
        first = "normalized_shape" if layer_type is nn.LayerNorm else "num_features"
        check_arguments(layer_type, {first: num_features, **args})
        layer = layer_type(num_features, **args)
    for parameter in layer.parameters():
        parameter.requires_grad = requires_grad
    return f"{name}{postfix}", layer


def revert_sync_batchnorm(module: nn.Module) -> nn.Module:
    """Turn every ``SyncBatchNorm`` under ``module`` into ``BatchNorm2d``, in place where possible.

    For the CPU and for a single device, where there is nobody to synchronise with. Parameters and
    buffers are the same objects, so an optimizer made before stays valid.

    Returns:
        ``module``, or its replacement where it is itself a ``SyncBatchNorm``.
    """
    if isinstance(module, nn.SyncBatchNorm):
        plain = nn.BatchNorm2d(
            module.num_features, module.eps, module.momentum, affine=False, track_running_stats=False
        )
        plain.affine, plain.track_running_stats = module.affine, module.track_running_stats
        plain._parameters, plain._buffers = module._parameters, module._buffers
        plain.training = module.training
        return plain
    for name, child in module.named_children():
        replacement = revert_sync_batchnorm(child)
        if replacement is not child:
            setattr(module, name, replacement)
    return module
