"""What a file is that was given in place of another, by its first bytes."""

from __future__ import annotations

import codecs

# No file of torch.save begins so: those begin with PK (zip), with \x80 (pickle), or are tar archives.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (of Keras or TensorFlow, perhaps)"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "a database"),
    (b"GGUF", "a GGUF file (of a language model)"),
)


def foreign_kind(head: bytes, size: int) -> str | None:
    """Name the kind of a file, such as ``'a PNG image'``, or return None for what may be a checkpoint.

    Args:
        head: Its first bytes, 16 at least where it has as many.
        size: Its length in bytes.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:8] == b"ftyp":
        return "an MP4 video or a HEIF image"
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == size:
        return "a BMP image"
    return next((kind for sign, kind in _SIGNATURES if head.startswith(sign)), None)


def is_text(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is text (UTF-8) for people."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end within a character
    except UnicodeDecodeError:
        return False
    # The text form of a pickle ends in a full stop, at once.
    is_pickle = head.endswith(b".") and head.startswith((b"(", b"c", b"}", b"]"))
    return bool(text) and not is_pickle and all(c.isprintable() or c in "\t\r\n\f" for c in text)


def contents_of_zip(names: list[str]) -> str:
    """What a zip archive is that holds no checkpoint, by the names of its files."""
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (.npz)"
    return f"a zip archive of {len(names)} file{'s' * (len(names) != 1)}"
