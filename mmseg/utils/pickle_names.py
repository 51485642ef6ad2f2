"""The names that a pickle may use, and what stands for them: our own functions, never what they name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

FOREIGN_PACKAGES = ("mmcv", "mmengine", "mmseg")


class UnsafeFileError(Exception):
    """The file asks for something that no checkpoint needs; the message names it."""


class TorchOnlyError(UnsafeFileError):
    """The file asks for something harmless that only PyTorch's own reader can build: a sparse tensor, say."""


class Placeholder:
    """Stands for an object of a foreign package: holds nothing and does nothing."""

    __slots__ = ()


PLACEHOLDER = Placeholder()


@dataclass(eq=False)
class Storage:
    """``numel`` numbers of ``dtype`` that the file keeps under ``key``, from its ``offset``-th on."""

    key: Any
    dtype: torch.dtype
    numel: int
    offset: int = 0


@dataclass(eq=False)
class LazyTensor:
    """A tensor whose numbers are read later; sizes, strides and offset count elements."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(eq=False)
class NumpyDtype:
    code: str
    byteorder: str = "="

    def real(self) -> np.dtype | None:
        """The dtype, or None for objects and records, whose elements are not numbers."""
        if isinstance(self.code, str) and re.fullmatch(r"[biufc]\d{1,2}|[SU]\d{1,9}", self.code):
            return np.dtype(self.code).newbyteorder(self.byteorder)
        return None


@dataclass(eq=False)
class NumpyArray:
    value: np.ndarray | Placeholder = PLACEHOLDER


@dataclass(eq=False, frozen=True)
class Function:
    call: Callable[..., Any]


@dataclass(eq=False, frozen=True)
class Inert:
    """A class that files name but need not call: a call would take as much memory as the file says."""


@dataclass(eq=False, frozen=True)
class StorageType:
    """``torch.FloatStorage`` and its siblings."""

    dtype: torch.dtype


def call(function: Any, arguments: Any) -> Any:
    if function is PLACEHOLDER:
        return PLACEHOLDER
    if type(function) is not Function or type(arguments) is not tuple:
        kind = "class" if type(function) is Inert else type(function).__name__
        raise UnsafeFileError(f"a call of a {kind}")
    return function.call(*arguments)


def check_keys(keys: list[Any]) -> None:
    """Refuse keys that are made to waste time.

    Nested tuples that share their parts take exponential time to hash, and huge integers can be chosen to
    have one hash all.
    """
    for key in keys:
        if type(key) is int and key.bit_length() > 60:
            raise UnsafeFileError("huge numbers as keys")
        if type(key) is tuple and any(type(part) in (tuple, frozenset) for part in key):
            raise UnsafeFileError("nested tuples as keys")


def check_extent(tensor: LazyTensor) -> None:
    """Raise ``ValueError`` where ``tensor`` reaches outside its storage."""
    numbers = (tensor.offset, *tensor.size, *tensor.stride, tensor.storage.numel, tensor.storage.offset)
    if any(type(n) is not int or n < 0 for n in numbers) or len(tensor.size) != len(tensor.stride):
        raise ValueError("a tensor has an impossible size")
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.size, tensor.stride, strict=True))
    held = tensor.storage.numel * tensor.storage.dtype.itemsize
    if math.prod(tensor.size) and (last + 1) * tensor.dtype.itemsize > held:
        raise ValueError("a tensor is larger than its data")


def find(module: Any, name: Any, *, torch_reads: bool = False) -> Any:
    """Return what stands for ``module.name`` of a file.

    Args:
        torch_reads: Let names pass that only PyTorch's own ``weights_only`` reader knows.

    Raises:
        TorchOnlyError: the name is one of those, and ``torch_reads`` is False.
        UnsafeFileError: the name is not allowed.
    """
    if type(module) is not str or type(name) is not str:
        raise UnsafeFileError("a name that is not text")
    if (module, name) in _ALLOWED:
        return _ALLOWED[module, name]
    if module.split(".")[0] in FOREIGN_PACKAGES:
        return PLACEHOLDER
    shown = f"{module}.{name}"
    if _TORCH_ONLY.fullmatch(shown):
        if torch_reads:
            kind = getattr(torch, name.removesuffix("Storage").lower(), None)
            return StorageType(kind) if isinstance(kind, torch.dtype) else PLACEHOLDER
        raise TorchOnlyError(f"`{shown}`")
    raise UnsafeFileError(f"`{shown if shown.isprintable() and len(shown) < 100 else ascii(shown)[:100]}`")


def _getattr(target: Any, name: str) -> Placeholder:
    if target is not PLACEHOLDER:
        raise UnsafeFileError("`builtins.getattr` of something else than an mmcv or mmengine object")
    return PLACEHOLDER


def _tensor(
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    backward_hooks: Any = None,
    metadata: Any = None,
    dtype: torch.dtype | None = None,
) -> LazyTensor:
    if type(storage) is not Storage or metadata:
        raise UnsafeFileError("a tensor of an unknown kind")
    return LazyTensor(storage, dtype or storage.dtype, offset, tuple(size), tuple(stride))


def _tensor_v3(
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    backward_hooks: Any,
    dtype: torch.dtype,
    metadata: Any = None,
) -> LazyTensor:
    if type(dtype) is not torch.dtype:
        raise UnsafeFileError("a tensor of an unknown kind")
    return _tensor(storage, offset, size, stride, requires_grad, backward_hooks, metadata, dtype)


def _device(name: str, *index: int) -> torch.device | Placeholder:
    try:
        return torch.device(name, *index)
    except (RuntimeError, TypeError):  # of another PyTorch
        return PLACEHOLDER


def _parameter(data: LazyTensor, *_: Any) -> LazyTensor:
    return data


def _from_type(function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    return call(function, arguments)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise UnsafeFileError(f"`_codecs.encode` to {encoding!r}")
    return text.encode("latin1")


def _bytearray(data: Any = b"", *encoding: str) -> bytearray:
    return bytearray(_encode(data, *encoding) if type(data) is str else memoryview(data))


def make_dict(items: Any = ()) -> dict[Any, Any]:
    pairs = list(items.items() if type(items) is dict else items)
    check_keys([key for key, _ in pairs])
    return dict(pairs)


def make_set(items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple, set, frozenset):
        raise UnsafeFileError(f"a set of a {type(items).__name__}")
    check_keys(list(items))
    return set(items)


def _numpy_scalar(dtype: NumpyDtype, data: bytes | str = b"") -> Any:
    real = dtype.real()
    if real is None:
        return PLACEHOLDER
    data = _encode(data) if type(data) is str else data
    return np.frombuffer(data, real, count=1)[0].item() if real.itemsize else real.type().item()


def make_array(data: Any, dtype: NumpyDtype, shape: tuple[int, ...], order: str) -> np.ndarray | Placeholder:
    real = dtype.real()
    if real is None:
        return PLACEHOLDER
    data = _encode(data) if type(data) is str else data
    numbers = np.frombuffer(data, real).reshape(shape, order="F" if order == "F" else "C")
    return numbers.astype(real.newbyteorder("="))  # a copy, in this machine's byte order


def _frombuffer(data: Any, dtype: NumpyDtype, shape: tuple[int, ...], order: str) -> NumpyArray:
    return NumpyArray(make_array(data, dtype, shape, order))


# Names of torch's weights-only set beyond ours; its functions take no more memory than the file has.
_TORCH_ONLY = re.compile(
    r"torch\._utils\._rebuild_(sparse_tensor|qtensor|meta_tensor_no_storage)"
    r"|torch\.(QInt8|QInt32|QUInt8)Storage|torch\.per_(tensor|channel)_\w+"
)
_STORAGES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}


def _allowed() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): Function(make_dict),
        ("collections", "Counter"): Function(make_dict),
        ("collections", "defaultdict"): Function(lambda _factory=None: {}),
        ("torch", "Size"): Function(torch.Size),
        ("torch", "device"): Function(_device),
        ("torch.serialization", "_get_layout"): Function(lambda *_: PLACEHOLDER),
        ("torch._utils", "_rebuild_tensor"): Function(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): Function(_tensor_v3),
        ("torch._utils", "_rebuild_parameter"): Function(_parameter),
        ("torch._utils", "_rebuild_parameter_with_state"): Function(_parameter),
        ("torch._tensor", "_rebuild_from_type_v2"): Function(_from_type),
        ("torch.nn.parameter", "Parameter"): Function(_parameter),
        ("torch", "Tensor"): Inert(),
        ("torch.storage", "UntypedStorage"): StorageType(torch.uint8),
        ("numpy", "dtype"): Function(lambda code, *_: NumpyDtype(code)),
        ("numpy", "ndarray"): Inert(),
        ("_codecs", "encode"): Function(_encode),
    }
    for python in ("builtins", "__builtin__"):  # the names of Python 3 and of protocol 2
        table[python, "getattr"] = Function(_getattr)
        table[python, "set"] = Function(make_set)
        table[python, "frozenset"] = Function(lambda items=(): frozenset(make_set(items)))
        table[python, "complex"] = Function(lambda real, imag: complex(float(real), float(imag)))
        table[python, "bytearray"] = Function(_bytearray)
        for kind in ("dict", "list", "int", "float"):  # what a defaultdict makes; itself never called
            table[python, kind] = PLACEHOLDER
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "scalar"] = Function(_numpy_scalar)
        table[f"{core}.multiarray", "_reconstruct"] = Function(lambda *_: NumpyArray())
        table[f"{core}.numeric", "_frombuffer"] = Function(_frombuffer)
    for module in ("torch", "torch.cuda"):
        for name, dtype in _STORAGES.items():
            table[module, f"{name}Storage"] = StorageType(dtype)
            table[module, f"{name}Tensor"] = Inert()
    for name in dir(torch):
        if isinstance(getattr(torch, name), torch.dtype):
            table["torch", name] = getattr(torch, name)
    return table


_ALLOWED = _allowed()
