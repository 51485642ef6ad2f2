"""Layers by name: which there are, what maps they give, and how many channels these have."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.models.builder import build_segmentor
from mmseg.models.layers import revert_sync_batchnorm
from mmseg.utils.errors import UserError, near_matches

TRIAL_SIZE = 128  # pixels; divisible by the strides of the usual backbones


class LayerMaps:
    """Keeps the maps that named layers of a model give, while it records.

    Args:
        model: Gets a forward hook on each of the layers.
        names: Module names such as ``'decode_head.conv_seg'``. Of a layer that gives several maps,
            ``'backbone[3]'`` is the fourth.
        role: ``'student'`` or ``'teacher'``, for messages.

    Raises:
        UserError: there is no such layer.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], role: str) -> None:
        self.role = role
        self._recording = False
        self._outputs: dict[str, Any] = {}
        for path in {split(name)[0] for name in names}:
            layer_of(model, path, role).register_forward_hook(functools.partial(self._keep, path))

    def _keep(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        if self._recording:
            self._outputs[path] = output

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the maps of forward passes inside the block; at its end they are let go."""
        self._recording = True
        try:
            yield
        finally:
            self._recording = False
            self._outputs.clear()

    def __getitem__(self, name: str) -> Tensor:
        """The map (N, C, h, w) of the last forward pass.

        Raises:
            UserError: the layer did not run, or gave something else.
        """
        path, index = split(name)
        what = f"distillation: the {self.role}'s layer `{path}`"
        if path not in self._outputs:
            raise UserError(
                f"{what} does not run as a whole when the model predicts; take one that does (or set"
                " model.exact=True, if a faster path passes it by)"
            )
        output = self._outputs[path]
        if isinstance(output, list | tuple):
            if index is None or not -len(output) <= index < len(output):
                raise UserError(f"{what} gives {len(output)} maps; choose one, such as `{path}[0]`")
            output = output[index]
        elif index is not None:
            raise UserError(f"{what} gives one map; leave out the index of `{name}`")
        if not isinstance(output, Tensor) or output.dim() != 4:
            kind = f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise UserError(f"{what} gives {kind}; a map (N, C, h, w) is needed")
        return output


def split(name: str) -> tuple[str, int | None]:
    """``'backbone[3]'`` is ``('backbone', 3)``, ``'backbone'`` is ``('backbone', None)``."""
    found = re.fullmatch(r"(.+)\[(-?\d+)\]", name)
    return (found[1], int(found[2])) if found else (name, None)


def layer_of(model: nn.Module, path: str, role: str) -> nn.Module:
    """The layer called ``path``.

    Raises:
        UserError: there is none; near matches are named.
    """
    layers = dict(model.named_modules())
    if not path or path not in layers:
        hint = near_matches(path, layers) or f" (it has: {', '.join(n for n, _ in model.named_children())})"
        raise UserError(f"distillation: the {role} has no layer `{path}`{hint}")
    return layers[path]


def blueprint(settings: dict[str, Any], exact: bool) -> nn.Module:
    """The model without its numbers (on the meta device, where that works), in evaluation mode.

    The random numbers of the run are not touched.
    """
    try:
        with torch.device("meta"):
            model = build_segmentor(settings)
    except UserError:
        raise
    except Exception:  # a constructor that computes with its own tensors
        model = build_aside(settings)
    if exact:
        model.exact = True
    return revert_sync_batchnorm(model).eval()


def build_aside(settings: dict[str, Any]) -> nn.Module:
    """The model on the CPU, without touching the random numbers of the run."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return build_segmentor(settings)


def channels_of(
    settings: dict[str, Any], names: Sequence[str], role: str, exact: bool = False
) -> dict[str, int]:
    """How many channels the maps of the layers ``names`` have; no weights are read.

    Args:
        settings: The ``model`` section of a config.

    Raises:
        UserError: a layer does not exist or gives no map, or the model cannot process an image of
            128x128.
    """
    model = blueprint(settings, exact)
    known = {}
    for name in names:
        layer = layer_of(model, split(name)[0], role)
        if isinstance(layer, nn.Conv2d):
            known[name] = layer.out_channels
    return known if len(known) == len(set(names)) else _tried(model, settings, names, role, exact)


def _tried(
    model: nn.Module, settings: dict[str, Any], names: Sequence[str], role: str, exact: bool
) -> dict[str, int]:
    """Let an image through to see."""
    try:
        return _trial(model, names, role)
    except UserError:
        raise
    except Exception:  # an operator that knows no shapes alone
        model = build_aside(settings)
    if exact:
        model.exact = True
    try:
        return _trial(revert_sync_batchnorm(model).eval(), names, role)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"distillation: the {role} cannot process an image of {TRIAL_SIZE}x{TRIAL_SIZE}, which would tell"
            f" the channels of its layers ({(str(error).splitlines() or [type(error).__name__])[0]}); compare"
            " convolutions, such as `decode_head.conv_seg`"
        ) from error


@torch.no_grad()
def _trial(model: nn.Module, names: Sequence[str], role: str) -> dict[str, int]:
    maps = LayerMaps(model, names, role)
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    image = first.weight.new_zeros(1, first.in_channels, TRIAL_SIZE, TRIAL_SIZE)
    with maps.recording():
        run_to_heads(model, image, None, names)
        return {name: maps[name].shape[1] for name in names}


def run_to_heads(model: nn.Module, img: Tensor, img_metas: Any, names: Sequence[str]) -> None:
    """Run the parts of a segmentor that ``names`` are in, up to the logits before they are resized."""
    if not hasattr(model, "decode_head"):  # a segmentor of another kind
        model.encode_decode(img, img_metas)
        return
    feats = model.extract_feat(img)
    heads = [model.decode_head]
    if any(name.startswith("auxiliary_head") for name in names):
        aux = model.auxiliary_head
        heads += aux if isinstance(aux, nn.ModuleList) else [aux]
    for head in heads:
        head.forward_test(feats, img_metas, model.test_cfg)
