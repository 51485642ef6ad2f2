"""Videos and folders of frames: read one after another, written as a whole or not at all."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

# ffmpeg speaks to the terminal by itself, over the progress bar; what matters is said in our own words.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.visualization.overlay import save_image

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
# Codecs by ending, the best first. H.264 (avc1) plays everywhere, but many builds of OpenCV lack it.
CODECS = {
    ".mp4": ("avc1", "mp4v"),
    ".m4v": ("avc1", "mp4v"),
    ".mov": ("avc1", "mp4v"),
    ".mkv": ("avc1", "mp4v"),
    ".avi": ("MJPG", "XVID"),
    ".webm": ("VP90", "VP80"),
}
FALLBACK_FPS = 25.0


@dataclass(frozen=True)
class Source:
    """Frames to be read.

    Attributes:
        path: A video, or a folder of frames.
        count: Frames, as far as known; 0 where the video does not tell.
        fps: Frames a second; None for a folder, and where the video does not tell.
        files: The frames of a folder, sorted; empty for a video.
    """

    path: str
    count: int
    fps: float | None
    files: tuple[str, ...] = ()


def open_source(path: str, limit: int | None = None) -> Source:
    """Look at a video or a folder of frames.

    Args:
        path: Of either.
        limit: Frames to be read at most.

    Raises:
        UserError: there is nothing, or nothing that can be read.
    """
    if os.path.isdir(path):
        names = [n for n in os.listdir(path) if n.lower().endswith(IMAGES) and not n.startswith(".")]
        if not names:
            raise UserError(f"the folder {path} has no frame ({', '.join(IMAGES)}); give another one")
        files = tuple(os.path.join(path, name) for name in sorted(names, key=_natural))[:limit]
        return Source(path, len(files), None, files)
    if not os.path.isfile(path):
        raise UserError(f"{path} does not exist; give a video or a folder of frames")
    with quiet():
        capture = cv2.VideoCapture(path)
        opened = capture.isOpened() and capture.read()[0]
    if not opened:
        capture.release()
        raise UserError(
            f"{path} cannot be read as a video: it is none, it is damaged, or OpenCV lacks its codec; "
            "convert it (ffmpeg -i IN OUT.mp4), or give a folder of frames"
        )
    count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    count = int(count) if math.isfinite(count) and count > 0 else 0
    usable = math.isfinite(fps) and 0 < fps <= 500
    return Source(path, min(count, limit) if limit and count else count, fps if usable else None)


def frames_of(source: Source, limit: int | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the frames, each with a name for its file: BGR uint8 (H, W, 3).

    Raises:
        UserError: a frame of a folder cannot be read, or a video ends long before its end.
    """
    if source.files:
        for file in source.files:
            image = cv2.imread(file, cv2.IMREAD_COLOR)
            if image is None:
                raise UserError(
                    f"the frame {file} is damaged or is no image; replace it, or take it out of the folder"
                )
            yield os.path.splitext(os.path.basename(file))[0], image
        return
    capture = cv2.VideoCapture(source.path)
    number, seconds = 0, 0.0
    try:
        while limit is None or number < limit:
            read, image = capture.read()
            if not read:
                break
            seconds = max(seconds, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            yield f"{number:06d}", image
            number += 1
    finally:
        capture.release()
    if limit is None or number < limit:
        _check_end(source, number, seconds)


def _check_end(source: Source, number: int, seconds: float) -> None:
    """Tell a video that breaks off from one whose number of frames is only estimated."""
    fps = source.fps or FALLBACK_FPS
    few = number < 0.98 * source.count - 1
    # With a varying frame rate the number is off, but the last frame is where the video ends.
    early = seconds + 1 / fps < 0.98 * source.count / fps - 0.2
    if not number or (few and early):
        raise UserError(
            f"{source.path} is damaged: {number} of its {source.count} frames can be read; "
            f"--max-frames {number} takes only these"
        )
    if few:
        get_root_logger().warning(
            f"{source.path} tells of {source.count} frames, and {number} were read: its frame rate varies, "
            "or it is damaged in between"
        )


class Output(Protocol):
    """Takes frames one after another, as a context; what is there under the final name is whole."""

    def write(self, name: str, frame: np.ndarray) -> None: ...

    def __enter__(self) -> Output: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None: ...


def open_output(path: str, fps: float = FALLBACK_FPS, fourcc: str | None = None) -> Output:
    """Choose by the ending of ``path``: a video, or without an ending a folder of frames.

    Args:
        path: Where the frames go in the end.
        fps: Frames a second of a video.
        fourcc: Codec of a video; None takes the best that this machine has.

    Raises:
        UserError: another ending, a folder that holds files, or no codec.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending in CODECS:
        return VideoOutput(path, fps, fourcc)
    if ending and not path.endswith(os.sep):
        raise UserError(
            f"the output {path} ends in `{ending}`; a video ends in {', '.join(CODECS)}, a folder of frames "
            "in nothing"
        )
    return FolderOutput(path)


class FolderOutput:
    """A folder of PNG files. They are made in ``NAME.partial`` and moved when all are there."""

    def __init__(self, path: str) -> None:
        self.path = path.rstrip(os.sep)
        self.partial = f"{self.path}.partial"
        if os.path.isfile(self.path):
            raise UserError(f"the output {path} is a file; give another folder")
        if os.path.isdir(self.path) and os.listdir(self.path):
            raise UserError(f"the output folder {path} holds files already; remove it, or give another one")

    def write(self, name: str, frame: np.ndarray) -> None:
        save_image(os.path.join(self.partial, f"{name}.png"), frame)

    def __enter__(self) -> FolderOutput:
        shutil.rmtree(self.partial, ignore_errors=True)
        _make_folder(self.partial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
            return
        if os.path.isdir(self.path):
            os.rmdir(self.path)
        os.rename(self.partial, self.path)


class VideoOutput:
    """A video. It is made as ``NAME.partial.ENDING``, read back, and then gets its name.

    Frames of another size than the first are scaled into its frame. A side of an odd number of pixels gets
    one row or column more, a copy of the last: the codecs take even sizes only, and would cut it off.
    """

    def __init__(self, path: str, fps: float, fourcc: str | None = None) -> None:
        self.path, self.fps = path, fps
        root, self.ending = os.path.splitext(path)
        self.partial = f"{root}.partial{self.ending}"
        if fourcc is not None and len(fourcc) != 4:
            raise UserError(f"--output-fourcc {fourcc}: a codec has four letters, such as mp4v or MJPG")
        self.codecs = (fourcc,) if fourcc else CODECS[self.ending.lower()]
        self.codec = ""
        self.number = 0
        self.size: tuple[int, int] | None = None  # (w, h)
        self._writer: Any = None

    def write(self, name: str, frame: np.ndarray) -> None:
        if self._writer is None:
            h, w = frame.shape[:2]
            self.size = w, h
            self._open((w + w % 2, h + h % 2))
        w, h = self.size
        if frame.shape[:2] != (h, w):
            from mmseg.visualization.layout import fitted

            frame = fitted(frame, w, h, (0, 0, 0))
        if w % 2 or h % 2:
            frame = cv2.copyMakeBorder(frame, 0, h % 2, 0, w % 2, cv2.BORDER_REPLICATE)
        self._writer.write(frame)
        self.number += 1

    def _open(self, size: tuple[int, int]) -> None:
        for codec in self.codecs:
            with quiet():
                writer = cv2.VideoWriter(self.partial, cv2.VideoWriter_fourcc(*codec), self.fps, size)
                opened = writer.isOpened()
            if opened:
                self._writer, self.codec = writer, codec
                return
            writer.release()
        raise UserError(
            f"OpenCV on this machine cannot write {self.path} with {' or '.join(self.codecs)}; give a name "
            "that ends in .avi, another --output-fourcc, or a folder"
        )

    def __enter__(self) -> VideoOutput:
        _make_folder(os.path.dirname(self.path) or os.curdir)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.release()
            if kind is None:
                self._check()
                os.replace(self.partial, self.path)
        finally:
            if os.path.exists(self.partial):
                os.remove(self.partial)

    def _check(self) -> None:
        """Read the file back: a full disk makes no error while a video is written."""
        with quiet():
            capture = cv2.VideoCapture(self.partial)
            whole = capture.isOpened() and capture.read()[0]
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        if not whole or abs(count - self.number) > 1 + 0.02 * self.number:
            raise UserError(
                f"the video {self.path} could not be written whole ({self.number} frames); is the disk full?"
            )


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {path}: {error.strerror or error}; give another output"
        ) from None
    if not os.access(path, os.W_OK):
        raise UserError(f"cannot write to the folder {path}; give another output")


def _natural(name: str) -> list[Any]:
    """Sort ``frame_9`` before ``frame_10``."""
    parts, digits = [], ""
    for letter in name.lower():
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            parts.append((0, int(digits), digits))
            digits = ""
        parts.append((1, 0, letter))
    return [*parts, (0, int(digits), digits)] if digits else parts


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what C libraries print to the standard error away from the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
