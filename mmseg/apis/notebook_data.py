"""What a notebook fetches: trained weights and the KITTI data set of the contest."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

from mmseg.conversion.archives import is_archive, unpack
from mmseg.conversion.kitti import convert_kitti
from mmseg.utils.downloads import cache_path, is_address, local_file
from mmseg.utils.errors import UserError
from mmseg.utils.http_file import discard, fetch, is_web_page
from mmseg.utils.logger import get_root_logger

DATA_URL = "http://vmv.re/E7kMX"
DATA_DIR = "data/kitti-seg-competition"
PROCESSED = "seg_data_processed"
_SPLITS = ("train", "val")
_REPORT_S = 1.0  # between two states of a download


def download_checkpoint(url: str, path: str | os.PathLike[str]) -> str:
    """Bring the checkpoint at ``url`` to ``path``, unless a file is there already.

    The file is complete when it appears; it shares its place on the disk with the download cache.

    Args:
        url: What ``local_file`` takes: ``https://...``, ``torchvision://NAME``, a path, ...
        path: The file to make; its folder is made too.

    Returns:
        ``path``.

    Raises:
        UserError: the file cannot be had or written.
    """
    target, logger = Path(path), get_root_logger()
    if target.exists():
        logger.info(f"{target} is there already and is taken as it is; delete it to download it again")
        return str(target)
    is_web = is_address(url) and url.lower().startswith("http")
    part = cache_path(url).with_name(cache_path(url).name + ".part") if is_web else None
    with download_state(part, target.name):
        source = os.path.realpath(local_file(url))
    if not os.path.isfile(source):
        raise UserError(f"checkpoint_url: {url} is neither an address nor a file")
    hidden = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, hidden)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(source, hidden)
        os.replace(hidden, target)
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror or error}; give a checkpoint_file in a folder that can "
            "be written"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()
    logger.info(f"the weights are in {target}")
    return str(target)


def download_data(
    url: str = DATA_URL,
    data_dir: str | os.PathLike[str] = DATA_DIR,
    file: str | os.PathLike[str] | None = None,
) -> str:
    """Bring the data set to ``data_dir``, unless something is there already.

    The folder appears with all its files or not at all. An archive that holds one folder (as the contest's
    holds ``kitti-seg-competition-zip``) gives that folder's content.

    Args:
        url: Of a .tar.gz or .zip.
        data_dir: The folder to make.
        file: Such an archive on this machine, which is taken instead and stays where it is.

    Returns:
        ``data_dir``.

    Raises:
        UserError: the archive cannot be had, is none, is damaged, or the disk is full.
    """
    target, logger = Path(data_dir), get_root_logger()
    if target.is_dir() and any(target.iterdir()):
        logger.info(f"{target} is there already; delete it to fetch it again")
        return str(target)
    if file is not None and not _is_archive(Path(file)):
        what = "is no .zip or .tar archive" if Path(file).exists() else "does not exist"
        raise UserError(f"{file} {what}; give the downloaded archive of the data set")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".download.part")
        archive = Path(file) if file is not None else _fetch_archive(url, part)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            logger.info(f"unpacking {archive} to {target}")
            unpack(archive, Path(folder, "all"))
            found = list(Path(folder, "all").iterdir())
            content = found[0] if len(found) == 1 and found[0].is_dir() else Path(folder, "all")
            if target.is_dir():
                target.rmdir()
            os.replace(content, target)
        if file is None:
            discard(part)
    except OSError as error:
        raise UserError(
            f"cannot make {target}: {error.strerror or error}; give a data_dir that can be written"
        ) from None
    logger.info(f"the data set is in {target}")
    return str(target)


def _fetch_archive(url: str, part: Path) -> Path:
    get_root_logger().info(f"downloading {url}")
    with download_state(part, part.name.removesuffix(".download.part")):
        fetch(url, part, place="this machine (download_data(file=PATH) takes it from there)")
    with open(part, "rb") as file:
        page = is_web_page(file.read(1024))
    if page or not _is_archive(part):
        discard(part)
        what = "a web page" if page else "no .zip or .tar archive"
        raise UserError(
            f"{url} is {what}; download the data set in a browser and give it as download_data(file=...)"
        )
    return part


def _is_archive(path: Path) -> bool:
    try:
        return is_archive(path)
    except (EOFError, zlib.error):  # compressed, and cut short within the first name
        return False


def convert_data(
    source: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] = DATA_DIR,
) -> dict[str, int]:
    """Bring the data set to the layout of the KITTI configs, unless it has it already.

    The contest's archive has it; KITTI's own ``data_semantics`` (label ids from 0 to 33) is converted.

    Args:
        source: ``data_semantics.zip`` or the folder it unpacks to; by default ``data_dir`` itself.
        data_dir: The data set's folder; the result is its ``seg_data_processed``.

    Returns:
        The number of frames by split.

    Raises:
        UserError: there are no such files, or an image and its mask do not match.
    """
    folder = Path(data_dir, PROCESSED)
    counts = {split: _count(folder / "img_dir" / split) for split in _SPLITS}
    if source is None and all(counts.values()):
        masks = {split: _count(folder / "ann_dir" / split) for split in _SPLITS}
        if masks != counts:
            raise UserError(
                f"{folder} has {counts['train']} and {counts['val']} images (train, val) but "
                f"{masks['train']} and {masks['val']} masks; delete {data_dir} and call "
                "download_data() again"
            )
        get_root_logger().info(f"{folder} needs no conversion: {_in_words(counts)}")
        return counts
    if source is None and not Path(data_dir).is_dir():
        raise UserError(f"{data_dir} does not exist; call download_data() first, or give a source")
    counts = convert_kitti(Path(source or data_dir), folder, nproc=1)
    get_root_logger().info(f"{folder}: {_in_words(counts)}")
    return counts


def _count(folder: Path) -> int:
    return sum(1 for path in folder.iterdir() if path.is_file()) if folder.is_dir() else 0


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in counts.items()) + " frames"


@contextlib.contextmanager
def download_state(part: Path | None, name: str) -> Iterator[None]:
    """Draw a progress bar for a download where there is no terminal for a live one, as in a notebook.

    It follows the size of the file that is coming.

    Args:
        part: The file; what is known of it stands beside it, with ``.json``. None draws nothing.
        name: Stands before the bar.
    """
    if part is None or sys.stderr.isatty():
        yield
        return
    out = sys.stdout  # of the caller, whatever is redirected later
    finished, drawn = threading.Event(), ""

    def draw(line: str) -> None:
        nonlocal drawn
        if line and line != drawn:
            drawn = line
            print(f"\r{line}", end="", file=out, flush=True)

    def watch() -> None:
        while not finished.wait(_REPORT_S):
            draw(state_line(part, name))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    complete = False
    try:
        yield
        complete = True
    finally:
        finished.set()
        watcher.join()
        draw(state_line(part, name))
        if complete and drawn:  # the part may have its name by now
            draw(f"{name} [{'#' * 30}] complete".ljust(len(drawn)))
        if drawn:
            print(file=out, flush=True)


def state_line(part: Path, name: str) -> str:
    """How far the download of ``part`` has come, as a bar in one line of text; empty before it begins."""
    try:
        size = part.stat().st_size
        total = json.loads(part.with_name(part.name + ".json").read_text()).get("total")
    except (OSError, ValueError):
        return ""
    if not total:
        return f"{name}: {size / 1e6:.1f} MB"
    filled = round(30 * min(1.0, size / total))
    return f"{name} [{'#' * filled}{'.' * (30 - filled)}] {size / 1e6:.1f}/{total / 1e6:.1f} MB"
