"""The loss over the whole validation set, without random transforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg.engine.precision import Precision
from mmseg.utils.distributed import get_world_size


def wants_val_loss(cfg: Mapping[str, Any]) -> bool:
    """Whether the config asks for it: ``evaluation.val_loss=True``, or a ``('val', n)`` in ``workflow``.

    In 0.25 such a phase was one batch with the training transforms; here it means the whole validation
    set, at each evaluation.
    """
    phases = cfg.get("workflow") or []
    return bool((cfg.get("evaluation") or {}).get("val_loss")) or any(phase[0] == "val" for phase in phases)


class ValidationLoss:
    """Sums up the losses of validation images; the result does not depend on batches and ranks.

    Each image counts once, whatever its size: its losses are those of the model in evaluation mode for
    one test view (unflipped, of the size nearest to the image's own) against its whole mask, to whose
    size the heads resize their logits. A padded border counts as ignored. Sliding windows play no part.

    Args:
        model: A segmentor in evaluation mode.
        precision: Autocast of the forward passes.
        ignore_index: Label of the padded border.
    """

    def __init__(self, model: nn.Module, precision: Precision, ignore_index: int) -> None:
        self.model, self.precision, self.ignore_index = model, precision, ignore_index
        self.indices: list[int] = []
        self.values: list[Tensor] = []
        self.names: list[str] = []

    @torch.no_grad()
    def add(self, batch: Mapping[str, Any], i: int, truth: Tensor) -> None:
        """Take image ``i`` of ``batch``, whose images stand on the model's device.

        Args:
            truth: Its mask (H, W) on the device.
        """
        view = _plain_view([metas[i] for metas in batch["img_metas"]])
        image, meta = batch["img"][view][i : i + 1], batch["img_metas"][view][i]
        label = _with_border(truth.long(), meta, tuple(image.shape[2:]), self.ignore_index)
        with self.precision.autocast(image.device):
            losses = self.model(image, [meta], return_loss=True, gt_semantic_seg=label[None, None])
            _, values = self.model.parse_losses(losses)
        self.names = sorted(values, key=lambda name: name == "loss")  # the total stands last, as in 0.25
        self.indices.append(batch["index"][i])
        self.values.append(torch.stack([values[name].double() for name in self.names]))

    def means(self) -> dict[str, float]:
        """Means over the images of all ranks, by the names that the training log has; called on all ranks."""
        rows = torch.stack(self.values).tolist() if self.values else []
        part = (self.names, dict(zip(self.indices, rows, strict=True)))
        parts = [part]
        if get_world_size() > 1:
            parts = [None] * get_world_size()
            dist.all_gather_object(parts, part)
        names = next((own for own, _ in parts if own), [])
        joined = {index: row for _, own in parts for index, row in own.items()}
        columns = zip(*(joined[index] for index in sorted(joined)), strict=True)
        return {name: sum(column) / len(column) for name, column in zip(names, columns, strict=True)}


def loss_names(model: nn.Module) -> list[str] | None:
    """Names that a model's losses will have, as far as its heads tell; None where they do not."""
    auxiliary = getattr(model, "auxiliary_head", None)
    heads = {"decode": getattr(model, "decode_head", None)}
    if isinstance(auxiliary, nn.ModuleList):
        heads |= {f"aux_{i}": head for i, head in enumerate(auxiliary)}
    elif auxiliary is not None:
        heads["aux"] = auxiliary
    names = ["loss"]
    for prefix, head in heads.items():
        losses = getattr(head, "loss_decode", None)
        modules = list(losses) if isinstance(losses, nn.ModuleList) else [losses]
        if not all(hasattr(module, "loss_name") for module in modules):
            return None
        names += dict.fromkeys(f"{prefix}.{module.loss_name}" for module in modules)
        names.append(f"{prefix}.acc_seg")
    return names


def _plain_view(metas: list[Mapping[str, Any]]) -> int:
    """Index of the view that is unflipped and nearest in size to the image itself."""

    def distance(k: int) -> tuple[bool, float]:
        meta = metas[k]
        (h, w), (own_h, own_w) = meta["img_shape"][:2], meta["ori_shape"][:2]
        return bool(meta.get("flip")), abs(h * w - own_h * own_w)

    return min(range(len(metas)), key=distance)


def _with_border(truth: Tensor, meta: Mapping[str, Any], size: tuple[int, ...], ignore_index: int) -> Tensor:
    """Extend a mask (H, W) at the right and bottom by what padding added to the image, in its own scale."""
    h, w = meta["img_shape"][:2]
    bottom = round(truth.shape[0] * (size[0] - h) / h)
    right = round(truth.shape[1] * (size[1] - w) / w)
    return F.pad(truth, (0, right, 0, bottom), value=ignore_index) if bottom or right else truth
