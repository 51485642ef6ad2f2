"""timm's models: built without reading weights, filled with them later, asked what sizes they take."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.utils.checkpoint import read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

# What opens a model of a fixed input size to others. A model takes the one or the other or neither.
OPENINGS = ({"dynamic_img_size": True, "dynamic_img_pad": True}, {"strict_img_size": False})

# For near matches: what most models take beside the arguments of TIMMBackbone.
COMMON_ARGUMENTS = ("out_indices", "output_stride", "img_size", "drop_rate", "drop_path_rate", "norm_layer")
COMMON_ARGUMENTS += ("act_layer", *(name for opening in OPENINGS for name in opening))


def check_name(model_name: str) -> None:
    """Raise ``UserError`` for a name that timm does not know, or that would be read from the network."""
    import timm

    if model_name.startswith(("hf-hub:", "hf_hub:")):
        raise UserError(
            f"TIMMBackbone: model_name={model_name!r} is read from the network whenever the model is built;"
            " give a name of timm's own, or download the folder and write 'local-dir:FOLDER'"
        )
    if model_name.startswith("local-dir:"):
        return
    name, _, tag = model_name.partition(".")
    if not timm.is_model(name):
        raise UserError(
            f"TIMMBackbone: timm {timm.__version__} has no model {name!r}"
            f"{near_matches(name, timm.list_models())}; `timm.list_models('*resnet*')` lists names"
        )
    tagged = timm.list_models(f"{name}.*", include_tags=True)
    if tag and tagged and model_name not in tagged:
        raise UserError(
            f"TIMMBackbone: timm {timm.__version__} has no weights {tag!r} of {name} (it has:"
            f" {', '.join(t.partition('.')[2] for t in tagged)})"
        )


def has_fixed_size(model_name: str) -> bool:
    """Whether timm says that the model takes images of one size, unless it is told otherwise."""
    import timm

    cfg = None if model_name.startswith("local-dir:") else timm.get_pretrained_cfg(model_name)
    return cfg is None or cfg.fixed_input_size


def create(model_name: str, own_arguments: Sequence[str], **args: Any) -> nn.Module:
    """Build a model of timm; one of a fixed input size is opened to others where it can be.

    Args:
        own_arguments: What ``TIMMBackbone`` itself takes, for near matches.
        args: For ``timm.create_model``.

    Raises:
        UserError: timm refuses the arguments.
    """
    import timm

    openings = OPENINGS if has_fixed_size(model_name) else ()
    for opening in (*openings, {}):
        try:
            return timm.create_model(model_name, **{**opening, **args})
        except TypeError as error:
            unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if unknown is None:
                raise _refusal(model_name, error) from error
            name = unknown[1]
            if name in opening and name not in args:
                continue
            raise UserError(
                f"TIMMBackbone: timm's {model_name} takes no argument `{name}`"
                f"{near_matches(name, (*own_arguments, *COMMON_ARGUMENTS))}"
            ) from error
        except (AssertionError, IndexError, KeyError, ValueError, RuntimeError) as error:
            raise _refusal(model_name, error) from error
    raise AssertionError("the last attempt returns or raises")


def _refusal(model_name: str, error: Exception) -> UserError:
    return UserError(f"TIMMBackbone: timm cannot build {model_name} so: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """The kind and the first line of an error of another library."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}".rstrip(": ")


def load_published(model: nn.Module, model_name: str, **args: Any) -> None:
    """Fill ``model`` with the weights that timm offers for it; timm fetches and keeps them.

    Args:
        model: From :func:`create` with the same arguments.

    Raises:
        UserError: there are none, or they cannot be fetched.
    """
    import timm

    cfg = None if model_name.startswith("local-dir:") else timm.get_pretrained_cfg(model_name)
    if cfg is not None and not cfg.has_weights:
        tags = timm.list_models(f"{model_name.partition('.')[0]}.*", pretrained=True)
        offer = f" (it has: {', '.join(tags)})" if tags else ""
        raise UserError(f"timm offers no weights for {model_name}{offer}; set pretrained=False")
    try:
        twin = create(model_name, (), pretrained=True, **args)
    except Exception as error:  # whatever the network, the cache or the file may raise
        raise UserError(
            f"timm cannot load the weights of {model_name} ({one_line(error)}); set pretrained=False, or"
            " download them elsewhere and give checkpoint_path=FILE"
        ) from error
    model.load_state_dict(twin.state_dict())
    get_root_logger().info(f"loaded timm's weights of {model_name}")


def load_file(model: nn.Module, path: str, model_name: str, **args: Any) -> None:
    """Fill ``model`` with the weights of a file that timm could read: of the whole classifier, say.

    timm adapts them to ``args`` (input channels, image size) and drops the classifier.

    Raises:
        UserError: the file is unreadable, or of another model.
    """
    weights = state_dict_of(read_checkpoint(path), path)
    for prefix in ("backbone.", "timm_model."):  # of this toolbox
        if all(key.startswith(prefix) for key in weights):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    own = model.state_dict()
    if own.keys() == weights.keys() and all(own[k].shape == v.shape for k, v in weights.items()):
        model.load_state_dict(weights)
        get_root_logger().info(f"loaded {len(own)} of {len(own)} tensors from {path}")
        return
    overlay = {"state_dict": dict(weights), "source": ""}
    try:
        twin = create(model_name, (), pretrained=True, pretrained_cfg_overlay=overlay, **args)
    except UserError as error:
        raise UserError(f"{path} does not fit timm's {model_name}: {error}") from error
    filled = twin.state_dict()
    known = {_fingerprint(value) for value in weights.values() if value.numel() > 1}
    count = sum(_fingerprint(value) in known for value in filled.values())
    if count == 0:
        raise UserError(
            f"{path} holds no weights of timm's {model_name}; its first names are"
            f" {', '.join(list(weights)[:4])}"
        )
    model.load_state_dict(filled)
    get_root_logger().info(f"loaded {count} of {len(filled)} tensors from {path}")


def _fingerprint(value: Tensor) -> tuple[int, float]:
    return value.numel(), value.double().sum().item()


def refusal_of_size(model: nn.Module, channels: int, hw: tuple[int, int]) -> str | None:
    """Why ``model`` cannot take images (N, channels, *hw), or None where it can or where it cannot be told.

    Only shapes are computed. They are in a thread of their own, so that nothing which follows the caller's
    operators (a tracer, a counter, a compiler) sees them.
    """
    found: list[Exception] = []

    def run() -> None:
        tensors = [*model.named_parameters(), *model.named_buffers()]
        state = {name: torch.empty(t.shape, dtype=t.dtype, device="meta") for name, t in tensors}
        dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
        try:
            with torch.no_grad():
                image = torch.empty(2, channels, *hw, dtype=dtype, device="meta")
                torch.func.functional_call(model, state, (image,))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not found or isinstance(found[0], NotImplementedError) or "meta" in str(found[0]):
        return None
    return one_line(found[0])
