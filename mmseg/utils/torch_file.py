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
import warnings
import zipfile
from collections.abc import Callable
from typing import IO, Any

import torch

from mmseg.utils.pickle_names import (
    LazyTensor,
    Storage,
    StorageType,
    TorchOnlyError,
    UnsafeFileError,
    check_extent,
)
from mmseg.utils.safe_unpickler import finish, load_pickle
from mmseg.utils.unfolded import check_unfolded

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001


def read_torch_file(path: str) -> Any:
    """Return what ``path``, a file of ``torch.save``, holds; tensors are on the CPU.

    Sparse and quantized tensors are built by ``torch.load(weights_only=True)``, after the file was looked
    through; all else by our own interpreter. The checksums of zip archives are checked.

    Raises:
        UnsafeFileError: the file asks for something that is not allowed.
        Exception: of many kinds, where the file is broken or something else.
    """
    try:
        value = _read_plain(path)
    except TorchOnlyError:
        _check_for_torch(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True)
    check_unfolded(value)
    return value


def _read_plain(path: str) -> Any:
    if is_zip(path):
        return _read_zip(path)
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            raise EOFError("the end of the archive is missing")
        if _is_tar(file):
            return _read_tar(file)
        return _read_stream(file)


def is_zip(path: str) -> bool:
    """Whether ``path`` is a zip archive from its first byte on; one behind other bytes is none to PyTorch."""
    with open(path, "rb") as file:
        return file.read(2) == b"PK" and zipfile.is_zipfile(file)


def _check_for_torch(path: str) -> None:
    """Look whether torch may read the file: it takes the lengths that a file states on trust."""
    if not is_zip(path):
        raise UnsafeFileError("a tensor that is no plain array of numbers, in the format before PyTorch 1.6")
    with zipfile.ZipFile(path) as archive:
        _load_root(archive, _records(archive, os.path.getsize(path)), torch_reads=True)
        broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of its part {broken} is wrong")


# Zip archives -------------------------------------------------------------------------------------


def _read_zip(path: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        records = _records(archive, os.path.getsize(path))
        root = _load_root(archive, records)
        read = _once_per_key(lambda key: _read_part(archive, records[f"data/{key}"]))
        return finish(root, lambda tensor: _tensor(tensor, read))


def _load_root(archive: zipfile.ZipFile, records: dict[str, Any], torch_reads: bool = False) -> Any:
    """Interpret the pickle of an archive, every storage of which must be there in its stated length."""
    byteorder = records.get("byteorder", b"little")
    if byteorder != b"little":
        big = byteorder == b"big"
        raise ValueError("it was written by a big-endian machine" if big else "its byte order is unknown")

    def persistent_load(key: Any) -> Storage:
        storage = _storage_of(key)
        part = records.get(f"data/{storage.key}")
        if part is None:
            raise ValueError(f"the numbers of its storage {str(storage.key)[:40]!r} are missing")
        if not 0 <= (storage.offset + storage.numel) * storage.dtype.itemsize <= part.file_size:
            raise EOFError("it holds fewer numbers than it says")
        return storage

    pickled = io.BytesIO(archive.read(records["data.pkl"]))
    return load_pickle(pickled, persistent_load, torch_reads=torch_reads)


def _read_part(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> torch.UntypedStorage:
    """Read one part into memory of torch; the archive's reader checks its checksum at the end."""
    whole = torch.empty(info.file_size, dtype=torch.uint8)
    view, done = memoryview(whole.numpy()), 0
    with archive.open(info) as part:
        while chunk := part.read(2**24):
            view[done : done + len(chunk)] = chunk
            done += len(chunk)
    if done != info.file_size:
        raise EOFError("it ends too early")
    return whole.untyped_storage()


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
    if any(info.external_attr >> 28 == 0o12 or ".." in info.filename.split("/") for info in infos):
        raise UnsafeFileError("links or paths out of the archive")
    if any(info.file_size != info.compress_size for info in infos):
        raise UnsafeFileError("parts of two lengths in the archive")
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


def _read_storage(file: IO[bytes], dtype: torch.dtype) -> torch.UntypedStorage:
    (numel,) = struct.unpack("<q", _exactly(file, 8))
    return _as_storage(_exactly(file, numel * dtype.itemsize))


def _as_storage(data: bytes) -> torch.UntypedStorage:
    if not data:
        return torch.UntypedStorage(0)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).untyped_storage()


def _exactly(file: IO[bytes], size: int) -> bytes:
    here = file.tell()
    left = file.seek(0, os.SEEK_END) - here  # a length that lies costs no memory
    file.seek(here)
    data = file.read(size) if 0 <= size <= left else b""
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


def _tar_storages(file: IO[bytes]) -> tuple[dict[int, Storage], dict[int, torch.UntypedStorage]]:
    storages, data = {}, {}
    for _ in range(load_pickle(file)):  # each takes some bytes, so the end of the file ends it
        key, _location, kind = load_pickle(file)
        data[key] = _read_storage(file, _dtype_of(kind))
        storages[key] = Storage(key, _dtype_of(kind), data[key].nbytes() // _dtype_of(kind).itemsize)
    for key, root, offset, numel in load_pickle(file):
        storages[key] = Storage(root, storages[root].dtype, numel, offset)
    return storages, data


def _tar_tensors(file: IO[bytes], storages: dict[int, Storage]) -> dict[int, LazyTensor]:
    tensors = {}
    for _ in range(load_pickle(file)):
        key, storage_key, _kind = load_pickle(file)
        (ndim,) = struct.unpack("<i4x", _exactly(file, 8))
        if not 0 <= ndim <= 64:
            raise ValueError(f"a tensor of {ndim} dimensions")
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
    if len(key) not in (5, 6):
        raise ValueError("a storage has an impossible description")
    _, kind, name, _location, numel, *view = key
    if type(name) not in (str, int):
        raise ValueError("a storage has an impossible name")
    if view and view[0] is not None:
        _view_name, offset, numel = view[0]
    else:
        offset = 0
    if type(numel) is not int or type(offset) is not int or numel < 0 or offset < 0:
        raise ValueError("a storage has an impossible size")
    return Storage(name, _dtype_of(kind), numel, offset)


def _once_per_key(read: Callable[[Any], torch.UntypedStorage]) -> Callable[[Any], torch.UntypedStorage]:
    done: dict[Any, torch.UntypedStorage] = {}

    def get(key: Any) -> torch.UntypedStorage:
        if key not in done:
            done[key] = read(key)
        return done[key]

    return get


def _tensor(tensor: LazyTensor, read: Callable[[Any], torch.UntypedStorage]) -> torch.Tensor:
    """Return the tensor itself; tensors of one storage share its memory, as they did when saved."""
    check_extent(tensor)
    data = read(tensor.storage.key)
    start = tensor.storage.offset * tensor.storage.dtype.itemsize
    size = tensor.storage.numel * tensor.storage.dtype.itemsize
    if start + size > data.nbytes():
        raise EOFError("it holds fewer numbers than it says")
    if start % tensor.dtype.itemsize:
        raise ValueError("a tensor begins within a number")
    if not size:
        return torch.empty(tensor.size, dtype=tensor.dtype)
    offset = start // tensor.dtype.itemsize + tensor.offset
    return torch.empty(0, dtype=tensor.dtype).set_(data, offset, tensor.size, tensor.stride)
