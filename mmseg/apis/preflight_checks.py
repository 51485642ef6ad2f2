"""What a preflight looks at without running the model: data, classes, weights, disk, port, wandb."""

from __future__ import annotations

import copy
import dataclasses
import math
import netrc
import os
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from mmseg.apis.preflight_lines import Lines
from mmseg.config.task import innermost_data_sets
from mmseg.datasets.doctor import list_parts
from mmseg.datasets.doctor.findings import ERROR, KINDS, NOTE
from mmseg.datasets.doctor.listing import SPLITS, Part
from mmseg.datasets.doctor.reading import default_jobs
from mmseg.datasets.doctor.report import examine
from mmseg.engine.loaders import loader_settings
from mmseg.engine.plan import RunPlan
from mmseg.utils.downloads import cache_path, is_address, local_file
from mmseg.utils.errors import UserError

_NOT_OF_A_SAMPLE = ("class_never_seen", "duplicate", "leak", "num_classes")
_WANDB = ("WandbLoggerHook", "MMSegWandbHook")
_REACH_S = 10.0
_LOG_BYTES = 600  # of one record: its line of text, of JSON and of CSV


def without_traces(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the config for a trial: no caches, no profiles, no trackers, nothing to fetch."""
    plain = copy.deepcopy({**cfg})
    for split in SPLITS:
        for _, section in innermost_data_sets(split, (plain.get("data") or {}).get(split)):
            section.pop("cache", None)
    plain["profiler_config"] = None
    plain["log_config"] = {"interval": (plain.get("log_config") or {}).get("interval", 50), "hooks": []}
    return plain


def check_files(lines: Lines, cfg: Mapping[str, Any], sample: int) -> None:
    """Read a sample of the images and masks of every split, and judge them as ``tools/check_dataset.py``."""
    for split in SPLITS:
        if not cfg["data"].get(split):
            continue
        what = f"data.{split}"
        with lines.trying(what):
            parts = list_parts(cfg["data"], [split])
            number = sum(len(part.pairs) for part in parts)
            some = [dataclasses.replace(part, pairs=_spread(part, sample)) for part in parts]
            result = examine(some, model=cfg.get("model"), jobs=default_jobs())
            read = sum(len(part.pairs) for part in some)
            sizes = result.splits[split].sizes.most_common(3)
            told = ", ".join(f"{w}x{h}" for (w, h), _ in sizes)
            found = [f for f in result.findings if f.severity != NOTE and f.kind not in _NOT_OF_A_SAMPLE]
            for (severity, kind), group in groupby(found, key=lambda f: (f.severity, f.kind)):
                members = list(group)
                first = members[0]
                say = lines.fault if severity == ERROR else lines.warning
                say(
                    what,
                    f"{len(members)} {KINDS[kind][len(members) > 1]}, such as {first.file}: {first.value};"
                    f" {first.remedy} (tools/check_dataset.py reads all files)",
                )
            if not any(finding.severity == ERROR for finding in found):
                lines.ok(what, f"{number} images, {read} of them read with their masks; sizes (w x h) {told}")


def _spread(part: Part, sample: int) -> list[tuple[str, str | None]]:
    """At most ``sample`` pairs, evenly over the list; the first and the last among them."""
    places = np.linspace(0, len(part.pairs) - 1, min(sample, len(part.pairs))).round().astype(int)
    return [part.pairs[i] for i in dict.fromkeys(places.tolist())]


def check_batch(lines: Lines, cfg: Mapping[str, Any], images: int, gpus: int) -> None:
    """Whether an epoch has a batch for every rank, and what batch normalisation sees."""
    batch = loader_settings(cfg["data"], "train")["samples_per_gpu"]
    if images < batch * gpus:
        lines.fault(
            "batch",
            f"the data set has {images} samples, fewer than one batch of {batch} on each of {gpus} processes;"
            " lower data.samples_per_gpu, or use RepeatDataset",
        )
    else:
        per_epoch = images // (batch * gpus)
        left = images - per_epoch * batch * gpus
        told = f"; {left} images are left out of each epoch, others each time" if left else ""
        lines.ok("batch", f"{batch} x {gpus} GPU: {per_epoch} iterations per epoch of {images} images{told}")
    kinds = sorted(set(_norms(cfg["model"])))
    alone = [kind for kind in kinds if kind == "BN" or (kind == "SyncBN" and gpus == 1)]
    if batch == 1 and alone:
        lines.warning(
            "batch norm",
            f"{' and '.join(alone)} with data.samples_per_gpu=1 takes its statistics from a single image; use"
            " 2 or more, SyncBN over several GPUs, or norm_cfg=dict(type='GN', num_groups=32)",
        )


def _norms(section: Any) -> Iterator[str]:
    """The types in every ``norm_cfg`` of a model."""
    if isinstance(section, Mapping):
        for key, value in section.items():
            if key == "norm_cfg" and isinstance(value, Mapping):
                yield str(value.get("type"))
            yield from _norms(value)
    elif isinstance(section, list | tuple):
        for item in section:
            yield from _norms(item)


def check_weights(lines: Lines, cfg: Mapping[str, Any]) -> bool:
    """Whether the weights that the config names are there, or can be fetched; True where all are there."""
    all_there = True
    for where, source in named_weights(cfg):
        if source is True:
            lines.ok(where, "timm fetches its weights when training starts, unless they are in its cache")
            all_there = False
        elif not is_address(source) or source.startswith("file://"):
            path = local_file(source)
            if os.path.isfile(path):
                lines.ok(where, f"{path} is there ({os.path.getsize(path) / 1e6:.0f} MB)")
            else:
                lines.fault(where, f"there is no checkpoint {path}; correct {where}")
                all_there = False
        elif source.startswith(("http://", "https://")):
            if cache_path(source).exists():
                lines.ok(where, f"{source} is in {cache_path(source)}")
                continue
            all_there = False
            _check_address(lines, where, source)
        else:
            lines.ok(where, f"{source} is fetched when training starts, unless it is in the cache")
            all_there = False
    return all_there


def _check_address(lines: Lines, where: str, source: str) -> None:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(source, method="HEAD"), timeout=_REACH_S
        ) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
        lines.ok(where, f"{source} can be had ({size / 1e6:.0f} MB) and is fetched when training starts")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        say = lines.fault if getattr(error, "code", 0) in (404, 410) else lines.warning
        say(
            where,
            f"{source} is not in the cache and cannot be had now ({reason}); fetch it elsewhere, put it at"
            f" {cache_path(source)}",
        )


def named_weights(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(key, source) of every checkpoint that a config starts from; True is what timm offers."""
    yield from _weights("model", cfg.get("model"))
    for key in ("load_from", "resume_from"):
        if cfg.get(key):
            yield key, str(cfg[key])


def _weights(where: str, section: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(section, Mapping):
        timm = section.get("type") == "TIMMBackbone"
        if timm and section.get("pretrained", True) is True and not section.get("checkpoint_path"):
            yield f"{where}.pretrained", True
        for key, value in section.items():
            named = key in ("pretrained", "checkpoint_path") or (key == "checkpoint" and where != "model")
            if named and isinstance(value, str):
                yield f"{where}.{key}", value
            else:
                yield from _weights(f"{where}.{key}", value)
    elif isinstance(section, list | tuple):
        for i, item in enumerate(section):
            yield from _weights(f"{where}.{i}", item)


def check_wandb(lines: Lines, cfg: Mapping[str, Any]) -> None:
    """Whether wandb is installed and has a key, where the config logs to it."""
    hooks = (cfg.get("log_config") or {}).get("hooks") or []
    ours = next((h for h in hooks if isinstance(h, Mapping) and h.get("type") in _WANDB), None)
    if ours is None:
        return
    mode = os.environ.get("WANDB_MODE") or (ours.get("init_kwargs") or {}).get("mode") or "online"
    try:
        import importlib.util

        there = importlib.util.find_spec("wandb") is not None
    except ValueError:
        there = False
    if not there:
        lines.warning("wandb", "wandb is not installed, so the run is not tracked: pip install wandb")
    elif mode in ("offline", "disabled", "dryrun"):
        lines.ok("wandb", f"mode {mode}: no key is needed")
    elif os.environ.get("WANDB_API_KEY") or _in_netrc():
        lines.ok("wandb", "there is a key")
    else:
        lines.warning(
            "wandb",
            "there is no key (neither WANDB_API_KEY nor a line in ~/.netrc), so training goes on without it:"
            " run `wandb login`, or set WANDB_MODE=offline",
        )


def _in_netrc() -> bool:
    host = urllib.parse.urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    for path in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if path and netrc.netrc(os.path.expanduser(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def check_port(lines: Lines, gpus: int) -> None:
    """Whether the port at which the ranks meet is free on this machine."""
    if gpus == 1:
        return
    text = os.environ.get("MASTER_PORT") or os.environ.get("PORT") or "29500"
    if not text.isdigit() or int(text) > 65535:
        raise UserError(f"PORT={text} is no port; ports are 1 to 65535")
    port = int(text)
    with socket.socket() as probe, socket.socket() as free:
        free.bind(("", 0))
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
        except OSError:
            lines.fault(
                "port",
                f"port {port}, at which the processes meet, is in use, perhaps by another run: start with"
                f" PORT={free.getsockname()[1]}",
            )
            return
    lines.ok("port", f"{port} is free")


def check_disk(lines: Lines, work_dir: str, plan: RunPlan, checkpoint: int, keeps_best: bool) -> None:
    """Whether the checkpoints and logs of the run fit on the disk of the work dir.

    Args:
        lines: Takes the line.
        work_dir: It need not exist.
        plan: Of the run.
        checkpoint: Bytes of one checkpoint.
        keeps_best: Whether the best one is kept too.
    """
    numbered = plan.max_iters // plan.save_interval if plan.save_interval else 0
    numbered += int(plan.save_last and (not plan.save_interval or plan.max_iters % plan.save_interval != 0))
    kept = min(numbered, plan.max_keep) if plan.max_keep > 0 else numbered
    files = kept + 1 + int(keeps_best) + 1  # latest.pth; the best; the one that is being written
    logs = math.ceil(plan.max_iters / plan.log_interval) * _LOG_BYTES
    needed = files * checkpoint + logs
    there = os.path.abspath(work_dir)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free = shutil.disk_usage(there).free
    told = (
        f"{needed / 1e9:.2f} GB for at most {files} checkpoints of {checkpoint / 1e6:.1f} MB and the logs;"
        f" {free / 1e9:.1f} GB are free in {there}"
    )
    remedy = "; set checkpoint_config.max_keep_ckpts, or another work_dir"
    if not os.access(there, os.W_OK):
        lines.fault("disk", f"cannot write to the folder {there}; choose another work_dir")
    elif needed > free:
        lines.fault("disk", told + remedy)
    elif needed > 0.8 * free:
        lines.warning("disk", told + remedy)
    else:
        lines.ok("disk", told)
