"""How weights begin: the ``init_cfg`` of a config, applied to a module.

The types, arguments and defaults are those that configs of MMSegmentation 0.25 use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from mmseg.registry import check_arguments
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger


def _fill(module: nn.Module, fill: Callable[..., Any], bias: float, **args: Any) -> None:
    """Apply ``fill`` to the weight of ``module`` and set its bias, where it has them."""
    if getattr(module, "weight", None) is not None:
        fill(module.weight, **args)
    if getattr(module, "bias", None) is not None:
        nn.init.constant_(module.bias, bias)


def constant_init(module: nn.Module, val: float, bias: float = 0.0) -> None:
    """Set the weight to ``val``."""
    _fill(module, nn.init.constant_, bias, val=val)


def normal_init(module: nn.Module, mean: float = 0.0, std: float = 1.0, bias: float = 0.0) -> None:
    """Draw the weight from a normal distribution."""
    _fill(module, nn.init.normal_, bias, mean=mean, std=std)


def trunc_normal_init(
    module: nn.Module, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, bias: float = 0.0
) -> None:
    """Draw the weight from a normal distribution cut off at the values ``a`` and ``b``."""
    _fill(module, nn.init.trunc_normal_, bias, mean=mean, std=std, a=a, b=b)


def uniform_init(module: nn.Module, a: float = 0.0, b: float = 1.0, bias: float = 0.0) -> None:
    """Draw the weight uniformly from [a, b)."""
    _fill(module, nn.init.uniform_, bias, a=a, b=b)


def xavier_init(
    module: nn.Module, gain: float = 1.0, bias: float = 0.0, distribution: str = "normal"
) -> None:
    """Draw the weight as in Glorot and Bengio, 2010."""
    fills = {"normal": nn.init.xavier_normal_, "uniform": nn.init.xavier_uniform_}
    _fill(module, _choose(fills, distribution), bias, gain=gain)


def kaiming_init(
    module: nn.Module,
    a: float = 0.0,
    mode: str = "fan_out",
    nonlinearity: str = "relu",
    bias: float = 0.0,
    distribution: str = "normal",
) -> None:
    """Draw the weight as in He et al., 2015."""
    fills = {"normal": nn.init.kaiming_normal_, "uniform": nn.init.kaiming_uniform_}
    _fill(module, _choose(fills, distribution), bias, a=a, mode=mode, nonlinearity=nonlinearity)


def caffe2_xavier_init(module: nn.Module, bias: float = 0.0) -> None:
    """Draw the weight uniformly with variance 1 / fan-in (Caffe2's XavierFill)."""
    kaiming_init(module, 1.0, "fan_in", "leaky_relu", bias, "uniform")


def conv_fan_out_init(module: nn.Conv2d) -> None:
    """Draw a convolution's weight from N(0, 2 / fan-out), the fan counted per group; bias 0."""
    fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
    normal_init(module, std=math.sqrt(2.0 / fan_out))


def _choose(fills: dict[str, Callable[..., Any]], distribution: str) -> Callable[..., Any]:
    if distribution not in fills:
        raise UserError(f"init_cfg: distribution is 'normal' or 'uniform', not {distribution!r}")
    return fills[distribution]


INITIALIZERS: dict[str, Callable[..., None]] = {
    "Constant": constant_init,
    "Normal": normal_init,
    "TruncNormal": trunc_normal_init,
    "Uniform": uniform_init,
    "Xavier": xavier_init,
    "Kaiming": kaiming_init,
    "Caffe2Xavier": caffe2_xavier_init,
}


def is_pretrained(init_cfg: dict[str, Any]) -> bool:
    """Whether this description loads a checkpoint instead of drawing numbers."""
    return init_cfg.get("type") == "Pretrained"


def initialize(module: nn.Module, init_cfg: dict[str, Any]) -> None:
    """Draw the weights of ``module`` as ``init_cfg`` says.

    Args:
        module: The module whose layers are initialized, in place.
        init_cfg: ``type`` (a key of ``INITIALIZERS``), its arguments, and where they apply:
            ``layer``, a class name or a list of them (a base class counts); ``override``, one or a
            list of dictionaries with ``name``, a child of ``module`` that is initialized whole,
            with the same arguments, or with its own ``type`` and arguments.
            ``bias_prob`` in place of ``bias`` sets the bias so that a sigmoid gives that probability.

    Raises:
        UserError: an unknown type, argument or child.
    """
    args = dict(init_cfg)
    kind, layers, overrides = args.pop("type", None), args.pop("layer", None), args.pop("override", None)
    if layers is not None:
        _draw(module, kind, args, layers=[layers] if isinstance(layers, str) else layers)
    elif overrides is None:
        raise UserError(f"init_cfg of {type(module).__name__} needs `layer` or `override`: {init_cfg}")
    for override in [overrides] if isinstance(overrides, dict) else overrides or []:
        own = dict(override)
        name = own.pop("name", None)
        child = getattr(module, name, None) if isinstance(name, str) else None
        if not isinstance(child, nn.Module):
            known = dict(module.named_children())
            raise UserError(
                f"init_cfg of {type(module).__name__}: `override` names {name!r}, which is not one of its"
                f" children{near_matches(str(name), known)} (they are: {', '.join(known)})"
            )
        if own and "type" not in own:
            raise UserError(f"init_cfg: `override` of {name!r} has arguments but no `type`: {override}")
        own_kind, own_layers = own.pop("type", kind), own.pop("layer", None)
        own_layers = [own_layers] if isinstance(own_layers, str) else own_layers
        _draw(child, own_kind, own or args, own_layers)


def _draw(module: nn.Module, kind: Any, args: dict[str, Any], layers: Sequence[str] | None) -> None:
    """Run one initializer on every module under ``module``, or on those of the classes ``layers``."""
    if kind not in INITIALIZERS:
        known = [*INITIALIZERS, "Pretrained"]
        raise UserError(
            f"init_cfg: unknown type `{kind}`{near_matches(str(kind), known)} (known: {', '.join(known)})"
        )
    args = dict(args)
    probability = args.pop("bias_prob", None)
    if probability is not None:
        args["bias"] = -math.log((1 - probability) / probability)
    init = INITIALIZERS[kind]
    check_arguments(init, {"module": module, **args})
    for child in module.modules():
        if layers is None or {c.__name__ for c in type(child).__mro__}.intersection(layers):
            init(child, **args)


_IMAGE_CLASSIFIERS = {"fc", "head", "heads", "classifier"}


def load_pretrained(module: nn.Module, init_cfg: dict[str, Any]) -> None:
    """Load ``init_cfg['checkpoint']`` into ``module``; keys may be missing or extra.

    Weights that the module's class knows in another form (names of the original release, position
    tables of another size) are brought to its own by its ``adapt_pretrained``. What tells apart the images
    of ImageNet is left out.

    Args:
        module: The module that takes the weights, in place.
        init_cfg: ``type='Pretrained'``, ``checkpoint`` (a path, an address, or a name such as
            ``'torchvision://resnet50'``) and optionally ``prefix``: only the
            keys that start with it are taken, without it (``'backbone'`` takes a backbone out of a
            segmentor's checkpoint). ``map_location`` is accepted; weights pass through the CPU.

    Raises:
        UserError: no ``checkpoint``, an unknown key, an unreadable file, or no key with ``prefix``.
    """
    args = dict(init_cfg)
    args.pop("type")
    args.pop("map_location", None)
    check_arguments(_pretrained_arguments, args)
    path, prefix = args["checkpoint"], args.get("prefix")
    state_dict = state_dict_of(read_checkpoint(path), path)
    if prefix:
        state_dict = strip_prefix(state_dict, prefix, path)
    if hasattr(module, "adapt_pretrained"):
        state_dict = module.adapt_pretrained(state_dict, path)
    state_dict = _without_image_classifier(module, state_dict, path)
    load_into(module, state_dict, purpose="init", source=path)


def _without_image_classifier(module: nn.Module, weights: dict[str, Any], source: str) -> dict[str, Any]:
    """Leave out the layers that end a network for ImageNet, where ``module`` has none of that name."""
    own = {name.partition(".")[0] for name in module.state_dict()}
    left_out = [name for name in weights if name.partition(".")[0] in _IMAGE_CLASSIFIERS - own]
    if len(left_out) in (0, len(weights)):
        return weights
    get_root_logger().info(
        f"{source}: left out {', '.join(left_out)}, which {type(module).__name__} has no place for (it tells"
        " classes of whole images apart)"
    )
    return {name: value for name, value in weights.items() if name not in left_out}


def _pretrained_arguments(checkpoint: str, prefix: str | None = None) -> None:
    """The arguments of ``Pretrained``, for ``check_arguments``."""


def strip_prefix(state_dict: dict[str, Any], prefix: str, path: str) -> dict[str, Any]:
    """Keep the keys of ``state_dict`` under ``prefix`` and take the prefix off."""
    dotted = prefix.removesuffix(".") + "."
    kept = {key.removeprefix(dotted): value for key, value in state_dict.items() if key.startswith(dotted)}
    if not kept:
        tops = sorted({key.split(".")[0] for key in state_dict})
        raise UserError(f"{path} has no key under prefix {prefix!r}; its prefixes are {', '.join(tops)}")
    return kept
