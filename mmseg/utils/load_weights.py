"""From the weights of a checkpoint into a model: what must fit, what may differ, and how it is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

Purpose: TypeAlias = Literal["init", "load_from", "test", "resume"]
Shape: TypeAlias = tuple[int, ...]

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_COMPILED = "_orig_mod."  # torch.compile puts it into the names
CLASSIFIER = ("conv_seg.weight", "conv_seg.bias")  # ends of the names of what tells classes apart
_TABLE_ROWS = 12


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a checkpoint.

    Attributes:
        loaded: Names that were copied into the model.
        missing: Names of the model that the checkpoint lacks.
        unexpected: Names of the checkpoint that the model lacks.
        mismatched: Name → (shape in the checkpoint, shape in the model), not copied.
        num_classes: (classes of the checkpoint, classes of the model) where they differ, else None; the
            classifier is then among ``mismatched`` and keeps the model's own initial values.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    num_classes: tuple[int, int] | None = None


def state_dict_of(checkpoint: Mapping[str, Any], source: str = "the checkpoint") -> dict[str, torch.Tensor]:
    """Return the weights in ``checkpoint`` under the names of MMSegmentation 0.25.

    They stand under ``state_dict`` or ``model``, or are the checkpoint itself. The prefixes of DDP and
    torch.compile, ``data_preprocessor.*`` (of 1.x) and everything that is no tensor are taken away.

    Raises:
        UserError: there are no weights, or one of them is sparse, quantized or without numbers.
    """
    weights: Mapping[str, Any] = checkpoint
    for key in ("state_dict", "model"):
        if isinstance(checkpoint.get(key), Mapping):
            weights = checkpoint[key]
            break
    state_dict = {}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            continue
        name = _clean(name)
        if name.startswith("data_preprocessor."):
            continue
        if value.layout is not torch.strided or value.is_quantized or value.device.type == "meta":
            what = (
                "no numbers" if value.device.type == "meta" else f"the layout {value.layout}, {value.dtype}"
            )
            raise UserError(f"{source}: the tensor {name} has {what}; save the weights as plain tensors")
        state_dict[name] = value.detach()
    if not state_dict:
        held = ", ".join(sorted(map(str, checkpoint))[:8]) or "nothing"
        raise UserError(f"{source} holds no weights (it holds: {held}); give a checkpoint of a model")
    return state_dict


def load_into(
    model: nn.Module,
    state_dict: Mapping[str, torch.Tensor],
    *,
    purpose: Purpose,
    source: str,
    logger: logging.Logger | None = None,
) -> LoadReport:
    """Copy ``state_dict`` into ``model``, as strictly as ``purpose`` asks.

    * ``resume``: every name and shape must fit.
    * ``test``: the same, but ``auxiliary_head.*`` may be missing, extra or different: it is not used.
    * ``load_from`` and ``init``: what fits is copied, the rest is logged as a short table; where only the
      number of classes differs, the classifier keeps the model's own initial values.

    Args:
        model: May be wrapped by DDP or compiled.
        state_dict: From :func:`state_dict_of`.
        source: Where the weights come from, for messages.
        logger: By default the toolbox's.

    Raises:
        UserError: nothing fits, or ``purpose`` does not allow a difference. The model is then unchanged.
    """
    logger = logger or get_root_logger()
    while isinstance(model, _WRAPPERS):
        model = model.module
    own = {_clean(name): name for name in model.state_dict()}
    report = _compare({name: model.state_dict()[own[name]] for name in own}, state_dict)
    _refuse_another_model(report, own, state_dict, source)
    if purpose in ("resume", "test"):
        _refuse_differences(report, purpose, source, logger)
    elif report.num_classes is not None:
        theirs, ours = report.num_classes
        logger.warning(
            f"{source} has {theirs} classes, the model {ours}: the classifier (conv_seg) starts anew in"
            f" {', '.join(_heads_anew(report))}"
        )
    table = _table(report, purpose)
    if table:
        logger.warning(f"{source} does not fit the model in every part:\n{table}")
    model.load_state_dict({own[name]: state_dict[name] for name in report.loaded}, strict=False)
    logger.info(f"loaded {len(report.loaded)} of {len(own)} tensors from {source}")
    return report


def own_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of a model, which may be wrapped by DDP or compiled, under its plain names."""
    while isinstance(model, _WRAPPERS):
        model = model.module
    return {_clean(name): value for name, value in model.state_dict().items()}


def _clean(name: str) -> str:
    name = name.replace(_COMPILED, "")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def _compare(own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> LoadReport:
    report = LoadReport(
        missing=[name for name in own if name not in given],
        unexpected=[name for name in given if name not in own],
    )
    classes = None
    for name, tensor in given.items():
        if name not in own:
            continue
        theirs, ours = tuple(tensor.shape), tuple(own[name].shape)
        if theirs == ours:
            report.loaded.append(name)
            continue
        report.mismatched[name] = (theirs, ours)
        if name.endswith(CLASSIFIER) and theirs[1:] == ours[1:] and not _is_auxiliary(name):
            classes = (theirs[0], ours[0])
    return LoadReport(report.loaded, report.missing, report.unexpected, report.mismatched, classes)


def _refuse_another_model(
    report: LoadReport, own: Mapping[str, Any], given: Mapping[str, Any], source: str
) -> None:
    if report.loaded:
        return
    hint = "give the checkpoint that belongs to the config"
    inner = {name.removeprefix("backbone.") for name in given if name.startswith("backbone.")}
    if inner & set(own):
        hint = "its backbone would fit: add prefix='backbone.' to init_cfg"
    raise UserError(
        f"{source} is a checkpoint of another model: none of its {len(given)} tensors fits one of the model's"
        f" {len(own)} by name and shape (it has `{next(iter(given), 'nothing')}`, the model"
        f" `{next(iter(own), 'nothing')}`); {hint}"
    )


def _refuse_differences(report: LoadReport, purpose: Purpose, source: str, logger: logging.Logger) -> None:
    if report.num_classes is not None:
        theirs, ours = report.num_classes
        other = "use --load-from to fine-tune it" if purpose == "resume" else "set num_classes to match"
        raise UserError(f"{source} was trained for {theirs} classes, but the model has {ours}; {other}")
    excused = _excused_in_test if purpose == "test" else lambda _name: False
    parts = []
    for what, names in (
        ("missing", report.missing),
        ("unexpected", report.unexpected),
        ("of another shape", report.mismatched),
    ):
        faults = [name for name in names if not excused(name)]
        if faults:
            more = ", ..." if len(faults) > 3 else ""
            parts.append(f"{len(faults)} {what} ({', '.join(faults[:3])}{more})")
    if parts:
        logger.error(f"{source} does not fit the model:\n{_table(report, purpose)}")
        raise UserError(
            f"{source} does not fit the model: tensors {'; '.join(parts)}; use the config it was saved with"
        )


def _anew(report: LoadReport) -> list[str]:
    """The tensors that differ in the number of classes alone."""
    return [
        name
        for name, (theirs, ours) in report.mismatched.items()
        if name.endswith(CLASSIFIER) and (theirs[0], ours[0]) == report.num_classes and theirs[1:] == ours[1:]
    ]


def _heads_anew(report: LoadReport) -> list[str]:
    heads = (name.rpartition("conv_seg.")[0].rstrip(".") or "the model" for name in _anew(report))
    return list(dict.fromkeys(heads))


def _is_auxiliary(name: str) -> bool:
    return name.startswith("auxiliary_head.")


def _excused_in_test(name: str) -> bool:
    """Auxiliary heads do not predict; ``ema_*`` are the buffers in which 0.25 kept its second copy."""
    return _is_auxiliary(name) or name.startswith("ema_") or name.endswith(".num_batches_tracked")


def _table(report: LoadReport, purpose: Purpose) -> str:
    """Return the differences, one row each, cut short; empty where there are none to speak of."""
    rows: list[tuple[str, str, str, str]] = []
    told = _anew(report)
    for name, (theirs, ours) in report.mismatched.items():
        if name not in told:
            rows.append(("other shape", name, _shape(theirs), _shape(ours)))
    rows += [("not in checkpoint", name, "-", "") for name in report.missing]
    rows += [("not in model", name, "", "-") for name in report.unexpected]
    if purpose == "test":
        rows = [row for row in rows if not _excused_in_test(row[1])]
    elif purpose != "resume":  # files of before PyTorch 0.4.1 do not count batches
        rows = [row for row in rows if row[0] == "other shape" or not row[1].endswith(".num_batches_tracked")]
    if not rows:
        return ""
    shown = [("", "tensor", "checkpoint", "model"), *rows[:_TABLE_ROWS]]
    widths = [max(len(row[i]) for row in shown) for i in range(4)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in shown]
    if len(rows) > _TABLE_ROWS:
        lines.append(f"... and {len(rows) - _TABLE_ROWS} more")
    return "\n".join(lines)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
