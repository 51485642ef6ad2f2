"""A checkpoint to give away: the weights and what is needed to use them, named by its own hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mmseg.apis.export.describe import as_text
from mmseg.apis.export.files import replaced_when_done
from mmseg.utils.checkpoint import read_checkpoint, save_checkpoint, state_dict_of
from mmseg.utils.downloads import local_file
from mmseg.utils.errors import UserError
from mmseg.utils.plain import to_plain

KEPT_META = ("CLASSES", "PALETTE", "config", "mmseg_version", "iter", "epoch")
DIGITS = 8
_ENDINGS = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class Published:
    """What came of publishing.

    Attributes:
        paths: The files written, the ``.pth`` first.
        tensors: How many weights there are.
        dropped: What the checkpoint held besides: names of its sections, and ``ema_*`` for the buffers in
            which MMSegmentation 0.25 kept its second copy of the weights.
        before, after: Sizes of the checkpoint and of the ``.pth`` in bytes.
        meta: What was kept of its ``meta``.
    """

    paths: tuple[str, ...]
    tensors: int
    dropped: tuple[str, ...]
    before: int
    after: int
    meta: Mapping[str, Any]


def publish_checkpoint(source: str, target: str, safetensors: bool = False) -> Published:
    """Write the weights of ``source`` to ``TARGET-HASH.pth``.

    The hash is the first 8 digits of the file's sha256, which readers check. Of a run with a moving average
    of the weights, the averages are published: they are what ``state_dict`` holds, and what was scored.

    Args:
        source: A checkpoint of this toolbox or of MMSegmentation: a path, an address or a name.
        target: The name without the hash; ``.pth`` may be left out.
        safetensors: Write ``TARGET-HASH.safetensors`` as well, whose metadata are ``meta`` as text.

    Raises:
        UserError: ``source`` holds no weights, or the files cannot be written.
    """
    stem, ending = os.path.splitext(target)
    stem = stem if ending in _ENDINGS else target
    if os.path.isdir(target) or not os.path.basename(stem):
        raise UserError(
            f"OUT {target} is a folder; give a name in it, such as {os.path.join(target, 'b0.pth')}"
        )
    checkpoint = read_checkpoint(source)
    before = os.path.getsize(local_file(source))
    given = state_dict_of(checkpoint, source)
    weights = {name: value for name, value in given.items() if not name.startswith("ema_")}
    meta = _meta_of(checkpoint, source)
    dropped = [str(key) for key in checkpoint if key not in ("meta", "state_dict", "model")]
    if not any(isinstance(checkpoint.get(key), Mapping) for key in ("state_dict", "model")):
        dropped = []  # the file is the weights
    dropped = [key for key in dropped if checkpoint[key] is not None]
    if len(weights) < len(given):
        dropped.append("ema_*")
    path = _named_by_hash(stem, ".pth", lambda p: save_checkpoint({"meta": meta, "state_dict": weights}, p))
    paths = [path]
    if safetensors:
        paths.append(_named_by_hash(stem, ".safetensors", lambda p: _write_safetensors(weights, meta, p)))
    return Published(tuple(paths), len(weights), tuple(dropped), before, os.path.getsize(path), meta)


def print_published(source: str, target: str, safetensors: bool = False) -> None:
    """Run ``tools/publish_model.py``."""
    done = publish_checkpoint(source, target, safetensors)
    held = f"; left out: {', '.join(done.dropped)}" if done.dropped else ""
    print(f"{source}: {done.before / 1e6:.2f} MB, {done.tensors} tensors of weights{held}")
    print(f"kept of its meta: {', '.join(done.meta) or 'nothing, for it has none'}")
    if "CLASSES" not in done.meta:
        print("it does not say which classes it knows; those of the config's data set will be taken")
    for path in done.paths:
        print(f"wrote {path}: {os.path.getsize(path) / 1e6:.2f} MB")


def _meta_of(checkpoint: Mapping[str, Any], source: str) -> dict[str, Any]:
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping):
        meta = _safetensors_meta(local_file(source)) if source.endswith(".safetensors") else {}
    if isinstance(meta.get("dataset_meta"), Mapping):  # 1.x
        meta = {**{k.upper(): v for k, v in meta["dataset_meta"].items()}, **meta}
    if "config" not in meta and isinstance(meta.get("cfg"), str):
        meta = {**meta, "config": meta["cfg"]}
    return {key: to_plain(meta[key]) for key in KEPT_META if meta.get(key) is not None}


def _safetensors_meta(path: str) -> dict[str, Any]:
    """What :func:`_write_safetensors` wrote beside the tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        held = file.metadata() or {}
    meta = {}
    for key, text in held.items():
        try:
            meta[key] = text if key in ("config", "mmseg_version") else json.loads(text)
        except json.JSONDecodeError:
            meta[key] = text
    return meta


def _write_safetensors(weights: Mapping[str, torch.Tensor], meta: Mapping[str, Any], path: str) -> None:
    from safetensors.torch import save_file

    # The format knows no two names for the same memory.
    tensors = {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()
    }
    save_file(tensors, path, metadata={"format": "pt", **as_text(meta)})


def _named_by_hash(stem: str, ending: str, write: Any) -> str:
    """Write a file and name it ``STEM-HASH.ENDING``; give its path."""
    with replaced_when_done(stem + ending) as (temporary, rename):
        try:
            write(temporary)
        except UserError as error:
            cause = error.__cause__
            if isinstance(cause, OSError):
                raise cause from None
            raise
        with open(temporary, "rb") as file:
            digits = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
        rename(f"{stem}-{digits}{ending}")
    return f"{stem}-{digits}{ending}"
