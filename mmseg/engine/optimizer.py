"""Optimizers from config: parameter groups by name, torch's own optimizers, 0.25's ``paramwise_cfg``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from mmseg.engine.layer_decay import layer_multipliers
from mmseg.engine.sharding import is_sharded, shard_like
from mmseg.registry import Registry, check_arguments
from mmseg.utils.errors import UserError, near_matches

OPTIMIZERS = Registry("optimizer")
for _name in (
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "AdamW",
    "ASGD",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
):
    OPTIMIZERS.register_module(name=_name, module=getattr(torch.optim, _name))

_NORM_LAYERS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_PARAMWISE_KEYS = (
    "custom_keys",
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "bypass_duplicate",
)


def build_optimizer(model: nn.Module, cfg: dict[str, Any]) -> Optimizer:
    """Build the optimizer that ``cfg`` describes for the parameters of ``model``.

    Args:
        model: Every parameter is listed, frozen ones too, so that freezing does not renumber a
            saved state.
        cfg: ``type`` (a name of ``OPTIMIZERS``), its arguments, and optionally ``paramwise_cfg``:
            ``custom_keys`` (part of a parameter's name -> ``lr_mult``, ``decay_mult``; the longest
            matching key wins), ``norm_decay_mult``, ``bias_lr_mult``, ``bias_decay_mult``,
            ``dwconv_decay_mult``. With ``constructor='LearningRateDecayOptimizerConstructor'`` (or the
            older ``LayerDecayOptimizerConstructor``) rates fall layer by layer instead, see
            :func:`~mmseg.engine.layer_decay.layer_multipliers`.

    Returns:
        An optimizer whose groups gather the parameters of equal learning rate and weight decay, and
        carry ``param_names``. On devices that have it, the fused implementation is used unless
        ``cfg`` says otherwise.

    Raises:
        UserError: an unknown type or argument.
    """
    cfg = dict(cfg)
    paramwise = cfg.pop("paramwise_cfg", None) or {}
    constructor = cfg.pop("constructor", None) or "DefaultOptimizerConstructor"
    if constructor not in CONSTRUCTORS:
        raise UserError(
            f"optimizer.constructor: unknown constructor `{constructor}`"
            f"{near_matches(str(constructor), CONSTRUCTORS)} (known: {', '.join(CONSTRUCTORS)})"
        )

    groups: dict[tuple[float, float], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter, lr_mult, decay_mult in CONSTRUCTORS[constructor](model, dict(paramwise)):
        groups.setdefault((lr_mult, decay_mult), []).append((name, parameter))

    base_lr, base_decay = cfg.get("lr"), cfg.get("weight_decay")
    param_groups = []
    for (lr_mult, decay_mult), members in groups.items():
        group: dict[str, Any] = {"params": members}
        if base_lr is not None:
            group["lr"] = base_lr * lr_mult
        if base_decay is not None:
            group["weight_decay"] = base_decay * decay_mult
        param_groups.append(group)

    if "fused" not in cfg and "foreach" not in cfg and _can_fuse(model, str(cfg.get("type"))):
        cfg["fused"] = True
    kind = OPTIMIZERS.get(str(cfg.get("type")))
    if kind is not None:
        check_arguments(kind, {**{k: v for k, v in cfg.items() if k != "type"}, "params": None})
    return OPTIMIZERS.build(cfg, default_args={"params": param_groups})


def parameter_multipliers(
    model: nn.Module, paramwise: dict[str, Any]
) -> Iterator[tuple[str, nn.Parameter, float, float]]:
    """Yield ``(name, parameter, lr_mult, decay_mult)`` for every parameter of ``model``, in order.

    Raises:
        UserError: an unknown key.
    """
    for key in paramwise:
        if key not in _PARAMWISE_KEYS:
            raise UserError(
                f"optimizer.paramwise_cfg: unknown key `{key}`{near_matches(key, _PARAMWISE_KEYS)}"
            )
    custom = paramwise.get("custom_keys") or {}
    if not isinstance(custom, dict):
        raise UserError(
            "optimizer.paramwise_cfg.custom_keys must be a dictionary: part of a name -> multipliers"
        )
    # The longest key that occurs in a name wins; equal lengths go by alphabet.
    keys = sorted(sorted(custom), key=len, reverse=True)
    seen: set[int] = set()
    for module_name, module in model.named_modules(remove_duplicate=True):
        is_norm = isinstance(module, _NORM_LAYERS)
        is_depthwise = (
            isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels
        )
        for own_name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:  # shared between modules: it belongs to the first
                continue
            seen.add(id(parameter))
            name = f"{module_name}.{own_name}" if module_name else own_name
            lr_mult = decay_mult = 1.0
            key = next((k for k in keys if k in name), None)
            if key is not None:
                lr_mult = float(custom[key].get("lr_mult", 1.0))
                decay_mult = float(custom[key].get("decay_mult", 1.0))
            else:
                if own_name == "bias" and not is_norm:
                    lr_mult = float(paramwise.get("bias_lr_mult", 1.0))
                if is_norm:
                    decay_mult = float(paramwise.get("norm_decay_mult", 1.0))
                elif is_depthwise:
                    decay_mult = float(paramwise.get("dwconv_decay_mult", 1.0))
                elif own_name == "bias":
                    decay_mult = float(paramwise.get("bias_decay_mult", 1.0))
            yield name, parameter, lr_mult, decay_mult


CONSTRUCTORS = {
    "DefaultOptimizerConstructor": parameter_multipliers,
    "LearningRateDecayOptimizerConstructor": layer_multipliers,
    "LayerDecayOptimizerConstructor": layer_multipliers,
}


def _can_fuse(model: nn.Module, kind: str) -> bool:
    devices = {p.device.type for p in model.parameters()}
    known = ("Adam", "AdamW", "SGD")
    if any(is_sharded(p) for p in model.parameters()):  # torch has no fused SGD for slices
        known = ("Adam", "AdamW")
    return kind in known and len(devices) == 1 and devices <= {"cpu", "cuda"}


def load_optimizer_state(optimizer: Optimizer, saved: dict[str, Any], model: nn.Module) -> None:
    """Load a saved state by parameter name; states of MMSegmentation 0.25 by the parameters' order.

    Learning rates and decays stay those of ``optimizer`` (the schedule sets them anyway), so a
    resumed run follows its config.

    Raises:
        UserError: the saved state belongs to other parameters.
    """
    saved_groups = saved["param_groups"]
    if all("param_names" in g for g in saved_groups):
        index_of = {n: i for g in saved_groups for n, i in zip(g["param_names"], g["params"], strict=True)}
    else:
        indices = sorted(i for g in saved_groups for i in g["params"])
        names = [name for name, *_ in parameter_multipliers(model, {})]
        if len(indices) != len(names):
            raise UserError(
                f"the checkpoint's optimizer has {len(indices)} parameters, this model has {len(names)}; "
                "start from its weights with --load-from instead of --resume-from"
            )
        index_of = dict(zip(names, indices, strict=True))

    parameters = dict(model.named_parameters())
    current = optimizer.state_dict()
    state: dict[int, Any] = {}
    for group in current["param_groups"]:
        for name, index in zip(group["param_names"], group["params"], strict=True):
            if name not in index_of:
                raise UserError(
                    f"the checkpoint's optimizer does not know the parameter {name}; "
                    "start from its weights with --load-from instead of --resume-from"
                )
            if index_of[name] in saved["state"]:
                state[index] = _laid_out(saved["state"][index_of[name]], parameters[name])
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _laid_out(state: dict[str, Any], parameter: nn.Parameter) -> dict[str, Any]:
    """The state of one parameter in its memory format, or this rank's slices of it, which may be another
    than when it was saved."""
    result = dict(state)
    for key, value in state.items():
        if torch.is_tensor(value) and value.ndim and value.shape == parameter.shape:
            if is_sharded(parameter):
                result[key] = shard_like(value, parameter)
                continue
            empty = torch.empty_like(parameter, dtype=value.dtype, device=value.device, requires_grad=False)
            result[key] = empty.copy_(value)
    return result
