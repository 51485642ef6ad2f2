"""Read the files of ``torch.save``, of every age, without running what they hold.

Three formats exist: a zip archive (PyTorch 1.6 and later), a stream of pickles followed by raw numbers
(0.1.10 to 1.5), and a tar archive (before). In each, a pickle describes the objects and raw storages
hold the numbers; the pickle goes through :mod:`mmseg.utils.safe_unpickler`.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import IO, Any

import torch

from mmseg.utils.pickle_names import (
    PLACEHOLDER,
    LazyTensor,
    Storage,
    StorageType,
    UnsafeFileError,
    check_extent,
)
from mmseg.utils.safe_unpickler import finish, load_pickle

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001


def read_torch_file(path: str, with_tensors: bool = True) -> Any:
    """Return what ``path``, a file of ``torch.save``, holds; tensors are on the CPU.

    Args:
        path: The file.
        with_tensors: False leaves tensors out, which is quick for zip archives.

    Raises:
        UnsafeFileError: the file asks for something that is not allowed.
        Exception: of many kinds, where the file is broken or something else.
    """
    if zipfile.is_zipfile(path):
        return _read_zip(path, with_tensors)
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            raise EOFError("the end of the archive is missing")
        if _is_tar(file):
            return _read_tar(file)
        return _read_stream(file)


def check_archive(path: str) -> None:
    """Look at the table of contents of a zip archive.

    Raises:
        UnsafeFileError: it has what torch.save never writes.
        Exception: it is broken, or was not written by torch.save.
    """
    with zipfile.ZipFile(path) as archive:
        _records(archive, os.path.getsize(path))


def check_sums(path: str) -> None:
    """Read every byte of a zip archive and raise ``ValueError`` where a checksum does not hold."""
    if not zipfile.is_zipfile(path):
        return  # the older formats have no checksums
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of its part {broken} is wrong")


# Zip archives -------------------------------------------------------------------------------------


def _read_zip(path: str, with_tensors: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        records = _records(archive, os.path.getsize(path))
        if records.get("byteorder", b"little") != b"little":
            raise ValueError("it was written by a big-endian machine")
        root = load_pickle(io.BytesIO(archive.read(records["data.pkl"])), _storage_of)
        if not with_tensors:
            return finish(root, lambda _: PLACEHOLDER)
        read = _once_per_key(lambda key: bytearray(archive.read(records[f"data/{key}"])))
        return finish(root, lambda tensor: _tensor(tensor, read))


def _records(archive: zipfile.ZipFile, file_size: int) -> dict[str, Any]:
    """Return the archive's parts by name, without the folder that holds them all."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    pickles = [i.filename for i in infos if i.filename.endswith("/data.pkl") and i.filename.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("it is a zip archive, but not one of torch.save")
    prefix = pickles[0].removesuffix("data.pkl")
    names = [info.filename for info in infos]
    if f"{prefix}constants.pkl" in names:
        raise UnsafeFileError("TorchScript code")
    # What torch.save writes is plain; anything else is a trick (a bomb, say, or one name for two parts).
    if len(set(names)) != len(names):
        raise UnsafeFileError("two parts of one name in the archive")
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise UnsafeFileError("compressed or encrypted parts in the archive")
    if sum(info.file_size for info in infos) > file_size:
        raise UnsafeFileError("overlapping parts in the archive")
    records: dict[str, Any] = {info.filename.removeprefix(prefix): info for info in infos}
    if "byteorder" in records:
        records["byteorder"] = archive.read(records["byteorder"])
    return records


# The pickle stream of PyTorch 0.1.10 to 1.5 -------------------------------------------------------


def _read_stream(file: IO[bytes]) -> Any:
    if load_pickle(file) != _MAGIC_NUMBER:
        raise ValueError("it is not a file of torch.save")
    if load_pickle(file) != _PROTOCOL_VERSION:
        raise ValueError("its format version is unknown")
    if not load_pickle(file).get("little_endian", True):
        raise ValueError("it was written by a big-endian machine")
    used: dict[Any, Storage] = {}

    def persistent_load(key: Any) -> Storage:
        storage = _storage_of(key)
        used.setdefault(storage.key, storage)
        return storage

    root = load_pickle(file, persistent_load)
    data = {key: _read_storage(file, used[key].dtype) for key in load_pickle(file)}
    return finish(root, lambda tensor: _tensor(tensor, data.__getitem__))


def _read_storage(file: IO[bytes], dtype: torch.dtype) -> bytearray:
    (numel,) = struct.unpack("<q", _exactly(file, 8))
    return bytearray(_exactly(file, numel * dtype.itemsize))


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size) if size >= 0 else b""
    if len(data) != size:
        raise EOFError("it ends too early")
    return data


# The tar archive of the first versions -----------------------------------------------------------


def _is_tar(file: IO[bytes]) -> bool:
    file.seek(0)
    is_tar = tarfile.is_tarfile(file)
    file.seek(0)
    return is_tar


def _read_tar(file: IO[bytes]) -> Any:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        if "storages" not in archive.getnames():
            raise ValueError("it is a tar archive, but not one of torch.save")
        # Members are read in place: nothing is extracted to the disk, so links and paths do nothing.
        storages, data = _tar_storages(_member(archive, "storages"))
        tensors = _tar_tensors(_member(archive, "tensors"), storages)
        objects: dict[int, Any] = {**storages, **tensors}

        def persistent_load(key: Any) -> Any:
            if type(key) not in (int, str):
                raise UnsafeFileError("a whole pickled model")
            return objects[int(key)]

        root = load_pickle(_member(archive, "pickle"), persistent_load)
        return finish(root, lambda tensor: _tensor(tensor, data.__getitem__))


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    info = archive.getmember(name)
    if not info.isreg():
        raise UnsafeFileError(f"a link or device `{name}` in the archive")
    member = archive.extractfile(info)
    assert member is not None, "extractfile returns a file for every regular member"
    return member


def _tar_storages(file: IO[bytes]) -> tuple[dict[int, Storage], dict[int, bytearray]]:
    storages, data = {}, {}
    for _ in range(load_pickle(file)):
        key, _location, kind = load_pickle(file)
        data[key] = _read_storage(file, _dtype_of(kind))
        storages[key] = Storage(key, _dtype_of(kind), len(data[key]) // _dtype_of(kind).itemsize)
    for key, root, offset, numel in load_pickle(file):
        storages[key] = Storage(root, storages[root].dtype, numel, offset)
    return storages, data


def _tar_tensors(file: IO[bytes], storages: dict[int, Storage]) -> dict[int, LazyTensor]:
    tensors = {}
    for _ in range(load_pickle(file)):
        key, storage_key, _kind = load_pickle(file)
        (ndim,) = struct.unpack("<i4x", _exactly(file, 8))
        size = struct.unpack(f"<{ndim}q", _exactly(file, 8 * ndim))
        stride = struct.unpack(f"<{ndim}q", _exactly(file, 8 * ndim))
        (offset,) = struct.unpack("<q", _exactly(file, 8))
        storage = storages[storage_key]
        tensors[key] = LazyTensor(storage, storage.dtype, offset, size, stride)
    return tensors


# Storages and tensors ----------------------------------------------------------------------------


def _dtype_of(kind: Any) -> torch.dtype:
    if type(kind) is not StorageType:
        raise UnsafeFileError("a storage of an unknown kind")
    return kind.dtype


def _storage_of(key: Any) -> Storage:
    """Return the storage that a persistent id of the zip or stream format describes."""
    if type(key) is not tuple or not key or key[0] not in ("storage", b"storage"):
        raise UnsafeFileError("a whole pickled model (save its state_dict() instead)")
    _, kind, name, _location, numel, *view = key
    if type(name) not in (str, int):
        raise ValueError("a storage has an impossible name")
    if view and view[0] is not None:
        _view_name, offset, numel = view[0]
        return Storage(name, _dtype_of(kind), numel, offset)
    return Storage(name, _dtype_of(kind), numel)


def _once_per_key(read: Callable[[Any], bytearray]) -> Callable[[Any], bytearray]:
    done: dict[Any, bytearray] = {}

    def get(key: Any) -> bytearray:
        if key not in done:
            done[key] = read(key)
        return done[key]

    return get


def _tensor(tensor: LazyTensor, read: Callable[[Any], bytearray]) -> torch.Tensor:
    """Return the tensor itself; tensors of one storage share its memory, as they did when saved."""
    check_extent(tensor)
    data = read(tensor.storage.key)
    start = tensor.storage.offset * tensor.storage.dtype.itemsize
    size = tensor.storage.numel * tensor.storage.dtype.itemsize
    if start + size > len(data):
        raise EOFError("it holds fewer numbers than it says")
    numel = size // tensor.dtype.itemsize
    if not numel:
        return torch.empty(tensor.size, dtype=tensor.dtype)
    flat = torch.frombuffer(data, dtype=tensor.dtype, count=numel, offset=start)
    return torch.as_strided(flat, tensor.size, tensor.stride, tensor.offset)
