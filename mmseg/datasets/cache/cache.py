"""The cache of a data set: what its transforms ask for decoded images and masks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mmseg.datasets.cache.places import Place, address_of, open_place, open_store
from mmseg.datasets.cache.settings import Settings, limit_for, read_settings, size_text
from mmseg.datasets.cache.store import NO_SPACE, OPEN, Store
from mmseg.utils.logger import get_root_logger

_PROBED = 16  # images whose sizes are looked at
_SPARE = 1.3  # others may be larger than those


class Cache:
    """Decoded files, shared by workers and by the ranks of one machine.

    It travels to workers, forked or spawned; copies of it are the same cache.

    Args:
        place: Where it is.
        name: What the log calls it.
        length: Images of the data set.
    """

    def __init__(self, place: Place, name: str, length: int) -> None:
        self.name, self.length = name, length
        self._place: Place | None = place
        self._store: Store | None = place.store
        self._address = place.address
        self._reported = False

    def get(self, kind: str, path: str, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array that ``read()`` makes of the file ``path``, from the cache where it is in.

        Args:
            kind: What is read and how, such as 'image:color'; one that begins with 'mask' does not count as
                an image.
            path: The file. A file that changes (another size or time) is read anew.
            read: Reads it; its array is kept where there is room.

        Returns:
            The array, read-only: what is in the cache is not copied.
        """
        store = self._store
        try:
            status = os.stat(path)
        except OSError:
            store = None  # `read` knows how to say it
        if store is None:
            return _read_only(read())
        key = _key(kind, path, status)
        array = store.find(key)
        if array is None:
            array = _read_only(read())
            if store.state == OPEN and _unchanged(path, status):
                store.add(key, array, image=not kind.startswith("mask"))
        return array

    def report(self) -> None:
        """Log once how much of the data set is in, as soon as that is known; cheap to call."""
        store = self._store
        if self._reported or store is None or (store.state == OPEN and store.images < self.length):
            return
        self._reported = True
        images, size = store.images, size_text(store.used)
        if images >= self.length:
            get_root_logger().info("%s: the cache holds all %s images (%s)", self.name, f"{images:,}", size)
            return
        text = f"the cache holds {images:,} of {self.length:,} images ({size})"
        if store.state == NO_SPACE:
            get_root_logger().warning(
                "%s: no space left for the cache; %s, the others are read from their files", self.name, text
            )
        else:
            get_root_logger().info("%s: %s, the others are read from their files", self.name, text)

    def close(self) -> None:
        """Read everything from the files from now on; the memory is free when nobody uses it any more."""
        self._store = None
        if self._place is not None:
            self._place.close()
            self._place = None

    def __copy__(self) -> Cache:
        return self

    def __deepcopy__(self, memo: Any) -> Cache:
        return self

    def __getstate__(self) -> dict[str, Any]:
        store = self._store
        where = None if store is None else (address_of(store.file, self._address), store.token)
        return {**self.__dict__, "_place": None, "_store": where}

    def __setstate__(self, state: dict[str, Any]) -> None:
        where = state.pop("_store")
        self.__dict__.update(state)
        self._store = None if where is None else open_store(*where)


def open_cache(
    value: Any, img_infos: Sequence[Any], img_dir: str | None, ann_dir: str | None, name: str
) -> Cache | None:
    """Open the cache that ``data.train.cache`` and the like ask for.

    Args:
        value: See ``CustomDataset``; None for none.
        img_infos: The samples.
        img_dir, ann_dir: Folders of images and masks.
        name: What the log calls it.

    Returns:
        The cache; None where it is not wanted, or where there is no place for it, which one warning says.

    Raises:
        UserError: ``value`` is none of the possible ones.
    """
    settings = read_settings(value)
    if settings is None:
        return None
    logger = get_root_logger()
    largest, needed = _expected_size(img_infos, img_dir)

    def limit() -> int:
        size, warning = limit_for(settings, needed)
        if warning is not None:
            logger.warning("%s: %s", name, warning)
        if size < max(largest, 1):
            raise OSError(28, f"one image takes {size_text(largest)}, and it may take {size_text(size)}")
        return size

    try:
        if os.sep in settings.where:
            os.makedirs(settings.where, exist_ok=True)
        place = open_place(
            settings.where, _name_of(settings, img_infos, img_dir, ann_dir), limit, 2 * len(img_infos)
        )
    except (OSError, ImportError, ValueError) as error:  # without fcntl there is no sharing
        reason = getattr(error, "strerror", None) or error
        logger.warning(
            "%s: no cache in %s (%s); images are read from their files", name, settings.where, reason
        )
        return None
    room = size_text(place.store.end - place.store.start)
    logger.info("%s: decoded images are kept in a cache (%s, at most %s)", name, settings.where, room)
    return Cache(place, name, len(img_infos))


def caches_of(dataset: Any) -> Iterator[Cache]:
    """Give the caches of a data set and of those that it is made of."""
    cache = getattr(dataset, "cache", None)
    if isinstance(cache, Cache):
        yield cache
    for inner in (getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())):
        if inner is not None:
            yield from caches_of(inner)


def _key(kind: str, path: str, status: os.stat_result) -> bytes:
    text = f"{kind}\0{path}\0{status.st_dev} {status.st_ino} {status.st_mtime_ns} {status.st_size}"
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _unchanged(path: str, before: os.stat_result) -> bool:
    try:
        return _key("", path, os.stat(path)) == _key("", path, before)
    except OSError:
        return False


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _expected_size(img_infos: Sequence[Any], img_dir: str | None) -> tuple[int, int | None]:
    """Bytes of the largest image seen, and of all images with their masks, going by some of them."""
    from PIL import Image

    sizes = []
    for info in img_infos[:: max(1, len(img_infos) // _PROBED)][:_PROBED]:
        try:
            with Image.open(os.path.join(img_dir or "", info["filename"])) as image:
                sizes.append(image.width * image.height)
        except (OSError, ValueError, KeyError, TypeError, Image.DecompressionBombError):
            continue  # a file that only the data set's own transform can read
    if not sizes:
        return 0, None
    mean = sum(sizes) / len(sizes) * 4 + 256  # three channels and a mask
    return 3 * max(sizes), int(mean * len(img_infos) * _SPARE) + 2**20


def _name_of(settings: Settings, img_infos: Sequence[Any], img_dir: str | None, ann_dir: str | None) -> str:
    """The same for data sets that read the same files with the same settings."""
    digest = hashlib.blake2b(digest_size=12)
    folders = [os.path.abspath(folder) if folder else "" for folder in (img_dir, ann_dir)]
    digest.update(repr((settings, folders, len(img_infos))).encode("utf-8", "surrogateescape"))
    step = max(1, len(img_infos) // 1000)
    for info in img_infos[::step]:
        digest.update(str(info.get("filename")).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
