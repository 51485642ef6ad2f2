"""A model spread over the ranks (FSDP2): ``dist_params=dict(strategy='fsdp')``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmseg.engine.sections import switched_on
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

STRATEGIES = ("ddp", "fsdp")
MIN_PARAMS = 1_000_000


class Sharding:
    """Spreads weights, gradients and the state of the optimizer over the ranks, and brings them together.

    Every rank keeps its slice of each parameter (of its first dimension). Large blocks of the backbone are
    gathered one after another, shortly before they compute, and dropped afterwards; everything else (small
    layers and the heads) is gathered for the length of an iteration. Names of parameters, and with them
    parameter groups and checkpoints, are those of a run on one device.

    Zhao et al., 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel".

    Args:
        min_params: A block with fewer parameters is not gathered on its own.
    """

    def __init__(self, min_params: int = MIN_PARAMS) -> None:
        self.min_params = min_params

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Move ``model`` to ``device`` block by block, each rank its slices, with the weights of rank 0.

        Called once, on every rank, before the optimizer is built.

        Args:
            model: On the CPU; no rank's device ever holds the whole of it.

        Raises:
            UserError: a parameter without dimensions, or a model that cannot be sharded.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        if hasattr(model, "training_state"):
            raise UserError(
                f"dist_params.strategy='fsdp' cannot train a {type(model).__name__}, which keeps weights"
                " beside the model's own; set dist_params.strategy='ddp'"
            )
        for name, parameter in model.named_parameters():
            if not parameter.ndim:
                raise UserError(
                    f"dist_params.strategy='fsdp' cannot split the parameter {name}, a single number without"
                    " dimensions; give it the shape (1,), or set dist_params.strategy='ddp'"
                )
        _share_weights(model, device)
        total = sum(p.numel() for p in model.parameters())
        blocks = blocks_of(getattr(model, "backbone", model), self.min_params)
        mesh = init_device_mesh(device.type, (get_world_size(),))
        for block in blocks:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        fully_shard(model, mesh=mesh, reshard_after_forward=False)
        model.to(device)  # buffers, where any were left
        if hasattr(model, "predict"):  # what evaluations call in place of `forward`
            register_fsdp_forward_method(model, "predict")
        model.register_load_state_dict_pre_hook(_slice_weights)
        get_root_logger().info(
            f"fsdp: {total:,} parameters over {get_world_size()} ranks; {len(blocks)} blocks of the backbone"
            f" with at least {self.min_params:,} are gathered one by one"
        )
        return model

    @contextmanager
    def whole(self, model: nn.Module) -> Iterator[None]:
        """Every rank has all weights for a while, for forward passes without gradients.

        In an evaluation ranks differ in their numbers of images, windows and batches, so that no forward
        pass may need the others.
        """
        from torch.distributed.fsdp import FSDPModule

        units = [module for module in model.modules() if isinstance(module, FSDPModule)]
        for unit in units:  # what a forward pass without a backward pass gathered may be out of date
            unit.reshard()
        model.set_reshard_after_forward(False)
        for unit in units:
            unit.unshard()
        try:
            yield
        finally:
            for unit in units:
                unit.reshard()
            model.set_reshard_after_forward(True)
            model.set_reshard_after_forward(False, recurse=False)


def sharding_from(cfg: Mapping[str, Any], device: torch.device) -> Sharding | None:
    """Read ``dist_params.strategy`` and ``dist_params.min_params``; None means that each rank has the model.

    Raises:
        UserError: an unknown strategy, a bad number, or settings that FSDP does not go together with.
    """
    params = cfg.get("dist_params") or {}
    strategy = params.get("strategy") or "ddp"
    if strategy not in STRATEGIES:
        raise UserError(
            f"dist_params.strategy: unknown strategy {strategy!r}{near_matches(str(strategy), STRATEGIES)}"
            f" (known: {', '.join(STRATEGIES)})"
        )
    least = MIN_PARAMS if params.get("min_params") is None else params["min_params"]
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise UserError(f"dist_params.min_params must be a positive number of parameters, not {least!r}")
    if strategy == "ddp":
        return None
    if not (dist.is_available() and dist.is_initialized()):
        raise UserError(
            "dist_params.strategy='fsdp' spreads the model over several processes, and this is a single one;"
            " start with `bash tools/dist_train.sh CONFIG GPUS`, or set dist_params.strategy='ddp'"
        )
    if device.type not in ("cuda", "cpu"):
        raise UserError(f"dist_params.strategy='fsdp' needs GPUs (or CPUs), and the device is {device}")
    if switched_on(cfg, "compile") is not None:
        raise UserError(
            "dist_params.strategy='fsdp' does not go together with `compile`: leave one of them out"
        )
    optimizer = cfg.get("optimizer") or {}
    if optimizer.get("fused") and optimizer.get("type") not in ("Adam", "AdamW"):
        raise UserError(
            f"optimizer.fused: {optimizer.get('type')} has no fused form under dist_params.strategy='fsdp'"
            " (Adam and AdamW have); leave fused out"
        )
    return Sharding(least)


def blocks_of(model: nn.Module, min_params: int) -> list[nn.Module]:
    """The repeated blocks of ``model``: transformer blocks, residual blocks, ...

    They are the members of its lists (``ModuleList``, ``Sequential``) with at least ``min_params``
    parameters and more than one layer; where such members lie within others, the inner ones. A block that
    shares a parameter with something else is none.
    """
    counts = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    found: list[nn.Module] = []

    def search(module: nn.Module) -> bool:
        """Add the blocks within ``module``; whether there are any."""
        is_list = isinstance(module, nn.ModuleList | nn.Sequential)
        any_found = False
        for child in module.children():
            inside = search(child)
            if not inside and is_list and _is_block(child, min_params, counts):
                found.append(child)
                inside = True
            any_found = any_found or inside
        return any_found

    search(model)
    return found


def _is_block(module: nn.Module, min_params: int, counts: Counter[int]) -> bool:
    if isinstance(module, nn.ModuleList | nn.ModuleDict):  # which are not called
        return False
    layers = [m for m in module.modules() if next(m.parameters(recurse=False), None) is not None]
    parameters = list(module.parameters())
    own = all(counts[id(p)] == 1 for p in parameters)
    return own and len(layers) > 1 and sum(p.numel() for p in parameters) >= min_params


@torch.no_grad()
def _share_weights(model: nn.Module, device: torch.device) -> None:
    """Give every rank the weights and buffers of rank 0, as DDP does; one tensor at a time on the device."""
    for tensor in [*model.parameters(), *model.buffers()]:
        there = tensor.detach().to(device).contiguous()
        dist.broadcast(there, 0)
        tensor.copy_(there)


# Single tensors ----------------------------------------------------------------------------------


def is_sharded(tensor: Any) -> bool:
    """Whether ``tensor`` is spread over the ranks (a DTensor, whose module other runs need not import)."""
    return hasattr(tensor, "full_tensor")


def local_part(tensor: Tensor) -> Tensor:
    """This rank's slice of ``tensor``, in the same memory; all of it where it is not sharded."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """All of ``tensor``; every rank must ask."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Return ``value``, the whole on every rank, in the slices of ``like``; itself where that has none.

    Args:
        value: Of the shape of ``like``, anywhere.
    """
    if not is_sharded(like) or is_sharded(value):
        return value
    from torch.distributed.tensor import DTensor

    mesh, dim = like.device_mesh, like.placements[0].dim
    size = value.shape[dim]
    length = -(-size // mesh.size())
    start = min(mesh.get_local_rank() * length, size)
    part = value.detach().narrow(dim, start, min(length, size - start))
    part = part.to(like.to_local().device).clone(memory_format=torch.contiguous_format)
    return DTensor.from_local(
        part, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def gather_shards(obj: Any, rank: int = 0) -> Any:
    """Return ``obj``, nested dictionaries and lists, with whole tensors in place of sharded ones.

    Called on every rank with equal structures; the tensors arrive in the CPU's memory of ``rank``, one
    after another, and are None elsewhere. What was one tensor stays one.
    """
    return _gather(obj, get_rank() == rank, {})


def _gather(obj: Any, keeps: bool, done: dict[int, Tensor | None]) -> Any:
    if is_sharded(obj):
        if id(obj) not in done:
            whole = obj.detach().full_tensor()
            done[id(obj)] = whole.cpu() if keeps else None
        return done[id(obj)]
    if isinstance(obj, Mapping):
        return {key: _gather(value, keeps, done) for key, value in obj.items()}
    if type(obj) in (list, tuple):
        return type(obj)(_gather(value, keeps, done) for value in obj)
    return obj


def _slice_weights(module: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Before weights are loaded: each rank takes its slices of what the file holds."""
    for name, own in module.state_dict(keep_vars=True).items():
        value = state_dict.get(prefix + name)
        if isinstance(value, Tensor) and value.shape == own.shape:
            state_dict[prefix + name] = shard_like(value, own)
