"""Weights that stand elsewhere: from an address or a name to a file on this machine.

Downloads are kept in ``$MMSEG_CACHE/checkpoints``, by default ``~/.cache/mmseg/checkpoints`` (below
``$XDG_CACHE_HOME`` where that is set). A file there is whole: it comes as ``NAME.part``, is checked, and then
takes its name at once. Of several processes that need the same file one downloads it and the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mmseg.utils.errors import UserError
from mmseg.utils.http_file import discard, fetch, is_lfs_pointer, is_web_page, write_error
from mmseg.utils.logger import get_root_logger
from mmseg.utils.weight_names import open_mmlab_url, timm_source, torchvision_url

HEAD_START_S = 2.0  # of a machine's first process, which draws the progress bar

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+\-]+)://(.*)", re.DOTALL)
_NAMED_HASH = re.compile(r"-([0-9a-f]{8,64})(?:\.[A-Za-z]\w*)+", re.IGNORECASE)
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d*")
_NAMES = {
    "torchvision": torchvision_url,
    "modelzoo": torchvision_url,  # the name of old configs
    "open-mmlab": open_mmlab_url,
    "openmmlab": open_mmlab_url,
}


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is an address or a name with ``://`` rather than the path of a file."""
    return _ADDRESS.fullmatch(os.fspath(path)) is not None


def local_file(address: str | os.PathLike[str]) -> str:
    """Return the path of the file that ``address`` means; it is downloaded the first time.

    Args:
        address: A path, which is returned as it is; ``https://...`` or ``http://...``; ``file://...``;
            ``torchvision://NAME``; ``open-mmlab://NAME``; ``timm://NAME``.

    Raises:
        UserError: an unknown name, or the file cannot be had; the message says why.
    """
    address = os.fspath(address)
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return address
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return urllib.request.url2pathname(urllib.parse.urlparse(address).path)
    if scheme in ("http", "https"):
        return str(cached(address))
    if scheme in _NAMES:
        return str(cached(_NAMES[scheme](rest)))
    if scheme == "timm":
        source = timm_source(rest)
        return str(cached(source)) if isinstance(source, str) else _from_hub(*source)
    raise UserError(
        f"{address}: addresses begin with https://, http://, file://, torchvision://, open-mmlab:// or timm://,"
        f" not with {match[1]}://; copy the file to this machine and give its path"
    )


def cache_dir() -> Path:
    """The folder of downloaded checkpoints; it need not exist."""
    own = os.environ.get("MMSEG_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mmseg"
    return base.expanduser() / "checkpoints"


def cache_path(url: str) -> Path:
    """Where the file of ``url`` is, or will be, in the cache.

    A name that holds the file's hash is unique; other files (``latest.pth``) stand in a folder for their
    address.
    """
    path = urllib.parse.unquote(urllib.parse.urlparse(url).path)
    name = re.sub(r"[^\w.\-+]", "_", path.rstrip("/").rpartition("/")[2]).lstrip(".")[-120:] or "checkpoint"
    if hash_in(name):
        return cache_dir() / name
    return cache_dir() / hashlib.sha256(url.encode()).hexdigest()[:12] / name


def hash_in(name: str) -> str | None:
    """The beginning of the file's sha256 that its name ends in, in lower case: ``resnet50-0676ba61.pth``.

    At least 8 digits count; a date (``model-20220624.pth``) does not.
    """
    found = _NAMED_HASH.search(name)
    if found is None or found.end() != len(name) or _DATE.fullmatch(found[1]):
        return None
    return found[1].lower()


def cached(url: str) -> Path:
    """Return the file of ``url`` in the cache, downloading it if it is not there.

    A file that is there is taken without asking the server. Files with a hash in their name are also taken
    from torch's own cache, where MMSegmentation 0.25 and torchvision put them.

    Raises:
        UserError: see :func:`mmseg.utils.http_file.fetch`; besides, a wrong hash or a web page.
    """
    target = cache_path(url)
    if target.exists():
        return target
    known = _in_torch_cache(target.name)
    if known is not None:
        return known
    _wait_for_first_process(target)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target) as alone:
            if not target.exists():
                _download(
                    url, target, part if alone else target.with_name(f"{target.name}.{os.getpid()}.part")
                )
    except OSError as error:
        raise write_error(part, error) from error
    return target


def _download(url: str, target: Path, part: Path) -> None:
    logger = get_root_logger()
    logger.info(f"downloading {url} to {target}")
    wanted = hash_in(target.name)
    note, is_continued = fetch(url, part, place=str(target), is_checked=wanted is not None)
    if wanted and _sha256(part)[: len(wanted)] != wanted and is_continued:
        logger.warning(f"download of {url}: what was continued is not whole; starting anew")
        discard(part)
        note, _ = fetch(url, part, place=str(target), is_checked=True)
    _check(url, part, wanted, knows_size=note.total is not None)
    os.replace(part, target)
    discard(part)  # the note beside it


def _check(url: str, part: Path, wanted: str | None, knows_size: bool) -> None:
    """Raise ``UserError``, and delete the part, where it is not what ``url`` promises."""
    with open(part, "rb") as file:
        head = file.read(1024)
    fault = ""
    if not head:
        fault = f"{url} is empty; ask whoever put it there"
    elif is_web_page(head):
        fault = f"{url} is a web page, not a checkpoint; open it in a browser and give the path of the file"
    elif is_lfs_pointer(head):
        fault = f"{url} is a Git LFS pointer, not the file itself; take the address of its download button"
    elif wanted and (digest := _sha256(part)[: len(wanted)]) != wanted:
        fault = (
            f"{url} gives another file than its name says: its sha256 begins with {digest}, not with"
            f" {wanted}; try again, or if you trust it download it in a browser and give its path"
        )
    elif not wanted and not _is_checkpoint(head):
        fault = f"{url} is no checkpoint: it begins with {head[:8]!r}; open it in a browser to see what it is"
    elif not wanted and not knows_size and not _is_whole(part, head):
        fault = f"{url}: the connection ended before the file did; try again"
    if fault:
        discard(part)
        raise UserError(fault)


def _is_checkpoint(head: bytes) -> bool:
    """Whether a file begins as a zip archive, a pickle, a tar archive or safetensors do."""
    return head.startswith((b"PK\x03\x04", b"\x80")) or head[257:262] == b"ustar" or head[8:9] == b"{"


def _is_whole(part: Path, head: bytes) -> bool:
    """Whether a file whose size nobody told ends where it should."""
    from mmseg.utils.torch_file import read_torch_file

    try:
        if head[8:9] == b"{":
            from safetensors import safe_open

            with safe_open(part, "pt") as file:  # it compares the size with that of the header
                return bool(file.keys())
        return zipfile.is_zipfile(part) or read_torch_file(str(part)) is not None
    except Exception:  # a broken file fails anywhere and anyhow
        return False


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_torch_cache(name: str) -> Path | None:
    wanted = hash_in(name)
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    path = Path(home, "hub", "checkpoints", name).expanduser()
    try:
        if wanted and _sha256(path).startswith(wanted):
            return path
    except OSError:  # it is not there
        pass
    return None


@contextlib.contextmanager
def _lock(target: Path) -> Iterator[bool]:
    """Hold the right to download ``target``; gives False where the disk knows no locks.

    The system frees the lock of a process that ends in whatever way.
    """
    import filelock

    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"), mode=0o666)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            get_root_logger().info(f"another process is downloading {target.name}; waiting for it")
            lock.acquire(poll_interval=0.2)
    except NotImplementedError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _wait_for_first_process(target: Path) -> None:
    """Let the first of the processes that torchrun started on this machine begin."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        return
    end = time.monotonic() + HEAD_START_S
    while not target.exists() and time.monotonic() < end:
        time.sleep(0.05)


def _from_hub(repository: str, name: str | None) -> str:
    """Return a file of the Hugging Face hub, from the cache that its own library keeps."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = repository.partition("@")
    candidates = [name] if name else ["model.safetensors", "pytorch_model.bin"]
    reason: Exception | None = None
    for candidate in candidates:
        try:
            return huggingface_hub.hf_hub_download(repository, candidate, revision=revision or None)
        except LocalEntryNotFoundError as error:  # no network, and not in the cache under this name
            reason = reason or error
        except EntryNotFoundError as error:
            reason = error
        except Exception as error:  # of its own, of httpx, of the system: one line says which
            reason = error
            break
    cause = " ".join(str(reason).split())[:200].rstrip(".;:") or type(reason).__name__
    raise UserError(
        f"cannot get {repository} from the Hugging Face hub: {cause}; without a network, copy its cache"
        " (HF_HOME) from a machine that has one, or give the path of the file"
    ) from reason
