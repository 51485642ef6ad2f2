"""Checkpoints: read any, safely; load them into models; write them whole.

The parts stand in files of their own and are offered here together: what a file may hold
(``safe_unpickler``, ``torch_file``), how weights meet a model (``load_weights``), and files on the disk
(``checkpoint_files``).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import zipfile
from typing import Any

import numpy as np
import torch
from torch import nn

from mmseg.utils.checkpoint_files import (
    find_latest_checkpoint,
    point_latest,
    prune_checkpoints,
    save_checkpoint,
)
from mmseg.utils.downloads import local_file
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.file_kinds import contents_of_zip, foreign_kind, is_text
from mmseg.utils.http_file import is_lfs_pointer, is_web_page
from mmseg.utils.load_weights import LoadReport, load_into, state_dict_of
from mmseg.utils.logger import get_root_logger
from mmseg.utils.pickle_names import UnsafeFileError
from mmseg.utils.plain import to_plain
from mmseg.utils.torch_file import is_zip, read_torch_file

__all__ = [
    "LoadReport",
    "find_latest_checkpoint",
    "load_checkpoint",
    "load_into",
    "point_latest",
    "prune_checkpoints",
    "read_checkpoint",
    "save_checkpoint",
    "state_dict_of",
    "to_plain",
]

_GIVE_WEIGHTS = "give a .pth or .safetensors file of weights"


def read_checkpoint(
    path: str | os.PathLike[str], map_location: str | torch.device | None = "cpu"
) -> dict[str, Any]:
    """Return what a checkpoint file holds, without running any code of it.

    What ``torch.load(weights_only=True)`` accepts is read with the same result, but by an interpreter of our
    own: torch's takes as much memory as a file names. Older files, which hold numpy numbers and objects of
    mmcv, mmengine or mmseg too, are read as well; such objects are left out. ``.safetensors`` files give a
    dictionary of tensors.

    Args:
        path: The file, or its address or name (:func:`mmseg.utils.downloads.local_file`).
        map_location: Device of the tensors; None means the CPU.

    Raises:
        UserError: there is no such file, it cannot be downloaded, it is broken or something else (a web page,
            a Git LFS pointer, a folder, ...), or it asks for a name that no checkpoint needs, which is then
            named.
    """
    path = local_file(path)
    _check_kind(path)
    checkpoint = _read_safetensors(path) if path.endswith(".safetensors") else _read_pickled(path)
    if not isinstance(checkpoint, dict):
        raise UserError(
            f"{path} holds no dictionary but a {type(checkpoint).__name__}; if a whole model was saved there,"
            " save its state_dict() instead"
        )
    _tidy_meta(checkpoint, path)
    if map_location is not None and torch.device(map_location).type != "cpu":
        try:
            return _move(checkpoint, torch.device(map_location))
        except (RuntimeError, AssertionError) as error:
            raise UserError(
                f"cannot move {path} to {map_location}: {_one_line(error)}; use map_location='cpu'"
            ) from error
    return checkpoint


def load_checkpoint(
    model: nn.Module,
    filename: str | os.PathLike[str],
    map_location: str | torch.device | None = "cpu",
    strict: bool = False,
    logger: logging.Logger | None = None,
) -> dict[str, Any]:
    """Load the weights of a file into ``model`` and return the whole checkpoint.

    Args:
        model: Takes the weights, in place.
        filename: The checkpoint: a path, an address or a name.
        map_location: As in :func:`read_checkpoint`.
        strict: True refuses any difference of names or shapes; False logs them.
        logger: By default the toolbox's.

    Raises:
        UserError: as :func:`read_checkpoint` and :func:`~mmseg.utils.load_weights.load_into`.
    """
    checkpoint = read_checkpoint(filename, map_location)
    source = os.fspath(filename)
    purpose = "resume" if strict else "load_from"
    load_into(model, state_dict_of(checkpoint, source), purpose=purpose, source=source, logger=logger)
    return checkpoint


def _tidy_meta(checkpoint: dict[str, Any], path: str) -> None:
    """Take away what stands in ``meta`` under a name that every reader trusts, and is of another kind."""
    meta = checkpoint.get("meta")
    wrong = []
    if isinstance(meta, dict):
        for key, is_right in _META.items():
            if meta.get(key) is not None and not is_right(meta[key]):
                wrong.append(f"meta.{key}")
                del meta[key]
    elif meta is not None and not isinstance(meta, torch.Tensor):
        wrong.append("meta")
        del checkpoint["meta"]
    if wrong:
        get_root_logger().warning(
            f"{path}: left out {', '.join(wrong)}, which is of no kind that stands there"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53 or type(value) is float and value.is_integer()


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, torch.Tensor, np.ndarray))


_META = {"iter": _is_count, "epoch": _is_count, "CLASSES": _is_list, "PALETTE": _is_list}


def _check_kind(path: str) -> None:
    """Raise ``UserError`` for what is no checkpoint at first sight."""
    if os.path.isdir(path):
        files = sorted(name for name in os.listdir(path) if name.endswith((".pth", ".pt", ".safetensors")))
        inside = f"; give a file in it ({', '.join(files[:5])})" if files else ", and no checkpoint is in it"
        raise UserError(f"{path} is a folder{inside}")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never answer
            raise UserError(f"{path} is a pipe or a device, not a file; {_GIVE_WEIGHTS}")
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise UserError(f"there is no checkpoint {path}{_neighbours(path)}") from None
        raise UserError(
            f"cannot read the checkpoint {path}: {error.strerror or error}; check its path and permissions"
        ) from error
    if not head:
        raise UserError(f"the checkpoint {path} is empty; copy or download it again")
    if is_lfs_pointer(head):
        raise UserError(f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull`")
    if is_web_page(head):
        raise UserError(
            f"{path} is a web page, not a checkpoint; its download failed, so repeat it in a browser"
        )
    # In a .safetensors file this follows its length in bytes, which may look like any signature.
    kind = None if head[8:9] == b"{" else foreign_kind(head, os.path.getsize(path))
    if kind is not None:
        raise _not_a_checkpoint(path, kind)


def _not_a_checkpoint(path: str, kind: str) -> UserError:
    remedy = "unpack it, and give a file of weights in it" if "archive" in kind else _GIVE_WEIGHTS
    return UserError(f"{path} is {kind}, not a checkpoint; {remedy}")


def _neighbours(path: str) -> str:
    try:
        names = os.listdir(os.path.dirname(path) or os.curdir)
    except OSError:
        return f": there is no folder {os.path.dirname(path)} either"
    close = near_matches(os.path.basename(path), names)
    if close:
        return close
    others = sorted(name for name in names if name.endswith((".pth", ".pt", ".safetensors")))
    return f"; its folder holds {', '.join(others[:5])}" if others else "; its folder holds no checkpoint"


def _read_safetensors(path: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # the library has errors of its own, and some of torch come through
        raise _broken(path, error) from error


def _check_zip(path: str) -> None:
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if not any(name.endswith("data.pkl") for name in names):
        raise _not_a_checkpoint(path, contents_of_zip(names))


def _read_pickled(path: str) -> Any:
    try:
        if is_zip(path):
            _check_zip(path)
        return read_torch_file(path)
    except UserError:
        raise
    except UnsafeFileError as error:
        if _is_text(path):  # letters that happen to be instructions of a pickle
            raise _broken(path, error) from None
        raise UserError(
            f"{path} is refused: it asks for {error}, which no checkpoint of weights needs and which may run"
            " foreign code; ask whoever made it for a file with the state_dict only"
        ) from None
    except Exception as error:  # a broken file fails anywhere and anyhow
        raise _broken(path, error) from error


def _is_text(path: str) -> bool:
    with open(path, "rb") as file:
        return is_text(file.read(1024))


def _broken(path: str, error: Exception) -> UserError:
    if _is_text(path):
        return UserError(f"{path} is broken, or no checkpoint of PyTorch: it is text; {_GIVE_WEIGHTS}")
    return UserError(
        f"{path} is broken, or no checkpoint of PyTorch: {_one_line(error)}; copy or download it again"
    )


def _one_line(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "its objects are nested too deep"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    text = str(error).strip().partition("\n")[0][:200].strip().rstrip(".;:")
    return text if text and text.isprintable() else type(error).__name__


def _move(obj: Any, device: torch.device) -> Any:
    if isinstance(obj, torch.Tensor):
        return obj.to(device)
    if isinstance(obj, dict):
        return {key: _move(value, device) for key, value in obj.items()}
    if type(obj) in (list, tuple):
        return type(obj)(_move(value, device) for value in obj)
    return obj
