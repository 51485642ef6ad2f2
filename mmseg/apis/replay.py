"""Run the step of a capture again, in a fresh process: ``tools/replay.py``."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch

from mmseg.config import Config
from mmseg.engine.freeze import freeze_parameters, keep_in_eval
from mmseg.engine.nonfinite import StepTrace, largest, trace_step
from mmseg.engine.precision import precision_from
from mmseg.engine.prefetch import to_device
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError

from .setup import prepare_config

_KINDS = {"iteration": int, "rank": int, "seed": int, "batch": Mapping, "losses": Mapping}


def replay_from_args(args: Namespace) -> bool:
    """Run ``tools/replay.py``: print what the step gives, and return whether it diverges again.

    Raises:
        UserError: the file is no capture, or its model cannot be built.
    """
    device = named_device(args.device)
    checkpoint = read_checkpoint(args.capture)
    capture = check_capture(checkpoint, args.capture)
    cfg = prepare_config(args.config) if args.config else _settings(capture, args.capture)
    _print_capture(capture, args.capture, device)
    trace, anomaly = replay(checkpoint, cfg, args.capture, device, args.detect_anomaly)
    if anomaly:
        print(f"\nanomaly detection: {anomaly}")
    if trace is None:
        return True
    _print_trace(trace, capture)
    return trace.first is not None


def replay(
    checkpoint: Mapping[str, Any],
    cfg: Mapping[str, Any],
    source: str,
    device: torch.device,
    detect_anomaly: bool = False,
) -> tuple[StepTrace | None, str]:
    """Compute the captured step again, forward and backward.

    Args:
        checkpoint: The capture.
        cfg: ``model``, ``fp16``, ``optimizer_config``, ``frozen_parameters`` and ``channels_last`` are read.
        source: Its file, for messages.
        device: Where to compute.
        detect_anomaly: Let autograd name the function whose gradient is NaN.

    Returns:
        What the step gave, and what autograd found (then the first is None).

    Raises:
        UserError: the weights are those of another model, or the step fails for another reason.
    """
    capture = checkpoint["divergence"]
    model = build_segmentor(cfg["model"], train_cfg=cfg.get("train_cfg"), test_cfg=cfg.get("test_cfg"))
    averaged = checkpoint.get("ema") or {}
    weights = {**state_dict_of(checkpoint, source), **averaged.get("training_weights", {})}
    load_into(model, weights, purpose="resume", source=source)
    channels_last = bool(cfg.get("channels_last"))
    layout = torch.channels_last if channels_last else torch.preserve_format
    model = revert_sync_batchnorm(model).to(device, memory_format=layout).train()
    keep_in_eval(freeze_parameters(model, cfg.get("frozen_parameters")))
    precision = precision_from(cfg.get("fp16"), dict(cfg.get("optimizer_config") or {}))
    batch = to_device(dict(capture["batch"]), device, channels_last)
    try:
        with torch.autograd.set_detect_anomaly(detect_anomaly, check_nan=True):
            trace = trace_step(
                model,
                batch,
                precision=precision,
                device=device,
                seed=capture["seed"],
                iteration=capture["iteration"] - 1,
                rank=capture["rank"],
                backward=True,
                loss_scale=float(capture.get("loss_scale") or 1.0),
            )
    except torch.OutOfMemoryError:
        raise UserError(f"{device} has no memory for the step of {source}; use --device cpu") from None
    except RuntimeError as error:
        if detect_anomaly and "returned nan values" in str(error):
            return None, str(error)
        raise
    return trace, ""


def check_capture(checkpoint: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the entry ``divergence`` of a capture.

    Raises:
        UserError: there is none, or it is broken.
    """
    capture = checkpoint.get("divergence")
    if not isinstance(capture, dict):
        raise UserError(
            f"{source} is no capture of a run that diverged; give a divergence_iter_N.pth of a work dir"
        )
    for key, kind in _KINDS.items():
        if not isinstance(capture.get(key), kind):
            raise UserError(f"{source} is a broken capture: its `{key}` is missing or of another kind")
    return capture


def _settings(capture: Mapping[str, Any], source: str) -> Config:
    settings = capture.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        raise UserError(f"{source} does not hold the model's config; give the run's own with --config")
    if "teacher" in settings["model"]:  # that names another config file, which is a program
        raise UserError(f"{source} is of a distillation; give the run's config with --config")
    return Config(settings)


def _print_capture(capture: Mapping[str, Any], source: str, device: torch.device) -> None:
    print(f"{source}: iteration {capture['iteration']}, rank {capture['rank']}, seed {capture['seed']}")
    for name in capture.get("files") or []:
        print(f"  file {name}")
    for key, entry in (capture.get("statistics") or {}).items():
        print(f"  {key}: {_short(entry)}")
    if capture.get("world_size", 1) > 1:
        print("  the run had several ranks: synchronised batch norms had the statistics of all of them")
    if capture.get("device") not in (None, device.type):
        print(f"  computed on {capture['device']} then, on {device.type} now: dropout draws otherwise")


def _print_trace(trace: StepTrace, capture: Mapping[str, Any]) -> None:
    print(f"\n{'loss':<40}{'then':>14}{'now':>14}")
    for name, now in trace.losses.items():
        then = capture["losses"].get(name, math.nan)
        print(f"{name:<40}{_number(then):>14}{_number(now):>14}")
    for title, pairs in (
        ("largest absolute values in the outputs of", trace.activations),
        ("largest norms of gradients of", trace.gradients),
    ):
        print(f"\n{title}")
        for name, value in largest(pairs):
            print(f"  {name:<60}{_number(value):>14}")
    print(f"\n{trace.told()}")
    print("it diverges again" if trace.first is not None else "it does not diverge this time")


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _short(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)[:100]
    parts = []
    for key, value in entry.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        parts.append(f"{key} {shown if len(shown) < 120 else shown[:117] + '...'}")
    return ", ".join(parts)
