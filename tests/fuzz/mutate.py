"""Damage done at random to bytes, texts, pickles and archives; the same generator gives the same damage."""

from __future__ import annotations

import pickletools
import random
import struct
import zipfile
from io import BytesIO

# Numbers at which lengths, indices and signs go over.
EDGES = (0, 1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def mutate_bytes(data: bytes, rng: random.Random, words: tuple[bytes, ...] = ()) -> bytes:
    """Flip, cut, repeat, remove or insert, once or several times; ``words`` are pieces worth inserting."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(out) + 1)
        span = min(rng.choice((1, 2, 4, 16, 64)), len(out) - at)
        kind = rng.randrange(8)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind == 2:
            del out[at : at + span]
        elif kind == 3:
            out[at:at] = out[at : at + span] * rng.choice((1, 2, 50))
        elif kind == 4:
            out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))
        elif kind == 5 and words:
            out[at:at] = rng.choice(words)
        elif kind == 6:
            source = rng.randrange(len(out) + 1)
            out[at : at + span] = out[source : source + span]
        elif kind == 7 and rng.randrange(4) == 0:
            del out[at:]
        else:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(EDGES) % 2 ** (8 * width)
            out[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return bytes(out)


def mutate_text(text: str, rng: random.Random, words: tuple[str, ...]) -> str:
    """The same for text; it stays decodable."""
    pieces = tuple(word.encode() for word in words)
    return mutate_bytes(text.encode(), rng, pieces).decode("utf-8", "replace")


def mutate_pickle(data: bytes, rng: random.Random, extra: tuple[bytes, ...]) -> bytes:
    """Drop, double, swap, replace or insert whole instructions, so that the program goes on being read."""
    starts = [position for _, _, position in pickletools.genops(data)]
    parts = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(parts))
        kind = rng.randrange(6)
        if kind == 0 and len(parts) > 1:
            del parts[at]
        elif kind == 1:
            parts.insert(at, parts[at])
        elif kind == 2:
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:
            parts[at] = rng.choice(parts)
        elif kind == 4:
            parts.insert(at, rng.choice(extra))
        else:
            parts[at] = mutate_bytes(parts[at], rng)
    return b"".join(parts)


def mutate_zip(data: bytes, rng: random.Random, extra: tuple[bytes, ...]) -> bytes:
    """Change one part of an archive, its name, its way of storing or its directory; checksums hold."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(list(parts))
    kind = rng.randrange(6)
    if kind <= 2:
        name = next(n for n in parts if n.endswith("data.pkl"))
        parts[name] = mutate_pickle(parts[name], rng, extra)
    elif kind == 3:
        parts[name] = mutate_bytes(parts[name], rng) if parts[name] else b"x"
    elif kind == 4:
        parts[mutate_text(name, rng, ("../", "/", "data.pkl", "archive/"))] = parts.pop(name)
    elif rng.randrange(2):
        del parts[name]
    out = BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.randrange(10) == 0 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for part, content in parts.items():
            archive.writestr(part.replace("\x00", "") or "x", content)
    made = out.getvalue()
    if kind == 5:  # in the directory at the end
        at = rng.randrange(made.rindex(b"PK\x01\x02"), len(made) - 4)
        made = made[:at] + struct.pack("<I", rng.choice(EDGES) % 2**32) + made[at + 4 :]
    return made
