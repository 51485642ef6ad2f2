"""Malicious and broken files that claim to be checkpoints; each is to give one clear line and no more.

Nothing here runs while the files are written: hostile programs are assembled instruction by instruction
(:mod:`tests.helpers_pickles`). Carried out, each would touch the file ``marker``.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import pickle
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save as safetensors_bytes

from tests.helpers_pickles import (
    MAGIC_NUMBER,
    built,
    called,
    dotted,
    integer,
    live_programs,
    many,
    mapping,
    name,
    program,
    storage,
    tensor,
    text,
    write_stream,
    write_tar,
    write_zip,
)

OLD = called(name("mmcv", "Config"))
PLAIN = program(mapping(state_dict=mapping(w=tensor(many(integer(4)), many(integer(1))))))


def write_corpus(folder: Path, marker: Path) -> dict[str, Path]:
    """Write every file of the corpus into ``folder``; return them by a name that says what each is."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for make in (
        _live,
        _names,
        _misuse,
        _bombs,
        _zip_tricks,
        _safetensors,
        _other_files,
        _truncated,
        _places,
    ):
        for what, path in make(folder, marker).items():
            assert what not in files, f"two files are called {what}"
            files[what] = path
    return files


# Programs -----------------------------------------------------------------------------------------


def _live(folder: Path, marker: Path) -> dict[str, Path]:
    """What the pickle module would carry out, in each of the three formats."""
    files = {}
    for number, (what, body) in enumerate(sorted(live_programs(marker).items())):
        files[f"zip: {what}"] = write_zip(folder / f"live{number}.pth", program(body))
        writer = (write_stream, write_tar)[number % 2]
        files[f"{writer.__name__}: {what}"] = writer(folder / f"old{number}.pth", program(body, 2))
    return files


def _names(folder: Path, marker: Path) -> dict[str, Path]:
    """Functions of torch, numpy and Python that no checkpoint needs, called with something to do."""
    code = text(f"open({str(marker)!r}, 'w')")
    inner = called(name("_codecs", "encode"), text(_touch(marker).decode("latin1")), text("latin1"))
    calls = {
        "builtins.compile": called(name("builtins", "compile"), code, text("x"), text("exec")),
        "builtins.open": called(name("builtins", "open"), text(str(marker)), text("w")),
        "builtins.__import__": called(name("builtins", "__import__"), text("antigravity")),
        "codecs.decode": called(name("codecs", "decode"), text("x"), text("rot13")),
        "_codecs.lookup": called(name("_codecs", "lookup"), text("idna")),
        "copyreg.__newobj__": called(name("copyreg", "__newobj__"), name("io", "FileIO"), text(str(marker))),
        "copyreg._reconstructor": called(name("copyreg", "_reconstructor"), name("os", "stat"), b"N", b"N"),
        "importlib.import_module": called(name("importlib", "import_module"), text("antigravity")),
        "numpy.fromfile": called(name("numpy", "fromfile"), text("/etc/passwd")),
        "numpy.load": called(name("numpy", "load"), text("/etc/passwd")),
        "numpy.memmap": called(
            name("numpy", "memmap"), text(str(marker)), text("u1"), text("w+"), integer(0)
        ),
        "operator.attrgetter": called(name("operator", "attrgetter"), text("__class__.__base__")),
        "pathlib.Path.touch": called(
            dotted("pathlib", "Path.touch"), called(name("pathlib", "Path"), text(str(marker)))
        ),
        "platform.popen": called(name("os", "popen"), text(f"touch {marker}")),
        "runpy.run_path": called(name("runpy", "run_path"), text(str(marker))),
        "shutil.copyfile": called(name("shutil", "copyfile"), text("/etc/passwd"), text(str(marker))),
        "torch.classes": called(dotted("torch", "classes.load_library"), text(str(marker))),
        "torch.hub.load": called(name("torch.hub", "load"), text("a/b"), text("c")),
        "torch.jit.load": called(name("torch.jit", "load"), text(str(marker))),
        "torch.load within": called(name("torch", "load"), text(str(marker))),
        "torch.ops.load_library": called(dotted("torch", "ops.load_library"), text(str(marker))),
        "torch.storage._load_from_bytes": called(name("torch.storage", "_load_from_bytes"), inner),
        "torch._utils._rebuild_wrapper_subclass": called(
            name("torch._utils", "_rebuild_wrapper_subclass"),
            name("torch", "Tensor"),
            name("torch", "float32"),
        ),
        "webbrowser.open": called(name("webbrowser", "open"), text("http://localhost")),
        # Names of packages that are let pass, but only as things that do nothing.
        "mmcv called and then something else": called(name("mmcv.utils", "x"), text("y"))
        + b"0"
        + _system(marker),
        "attribute of mmengine and its result": called(
            name("operator", "call"),
            called(name("builtins", "getattr"), name("mmengine", "os"), text("system")),
        ),
        "a name that is not text": integer(1) + integer(2) + b"\x93",
    }
    return {
        what: write_zip(folder / f"name{number}.pth", program(mapping(old=OLD, meta=body)))
        for number, (what, body) in enumerate(sorted(calls.items()))
    }


def _system(marker: Path) -> bytes:
    return called(name("posix", "system"), text(f"touch {marker}"))


def _touch(marker: Path) -> bytes:
    return program(_system(marker))


def _misuse(folder: Path, marker: Path) -> dict[str, Path]:
    """Instructions and allowed names, used for what they are not there for."""
    reconstruct = called(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), many(integer(0)), text("b")
    )
    f8 = built(called(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88"), many(integer(3), text("<")))
    encode = called(name("_codecs", "encode"), text("\x00" * 8), text("latin1"))
    pid = (
        many(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), integer(2**31 - 1))
        + b"Q"
    )
    bodies = {
        "an array larger than its bytes": built(
            reconstruct, many(integer(1), many(integer(2**31 - 1)), f8, b"\x89", encode)
        ),
        "numpy._frombuffer of a huge shape": called(
            name("numpy._core.numeric", "_frombuffer"),
            encode,
            f8,
            many(integer(2**31 - 1), integer(2**31 - 1)),
            text("C"),
        ),
        "a class of tensors called with a size": called(name("torch", "FloatTensor"), integer(2**31 - 1)),
        "a storage called with a size": called(name("torch", "DoubleStorage"), integer(2**31 - 1)),
        "bytearray of a size": called(name("builtins", "bytearray"), integer(2**31 - 1)),
        "a tensor larger than its storage": tensor(many(integer(2**31 - 1)), many(integer(1))),
        "a tensor shown a billion times": tensor(
            many(integer(2**31 - 1), integer(9)), many(integer(0), integer(0))
        ),
        "a storage longer than its file": tensor(many(integer(2**31 - 1)), many(integer(1)), data=pid),
        "a storage in another folder": tensor(
            many(integer(1)), many(integer(1)), data=storage("../../etc/passwd")
        ),
        "a storage that is missing": tensor(many(integer(1)), many(integer(1)), data=storage("99")),
        "a persistent id of a module": many(text("module"), name("torch", "Tensor"), text("f"), text("s"))
        + b"Q",
        "a persistent id of text": text("storage") + b"Q",
        "a text persistent id": b"Pstorage\n",
        "an extension code": b"\x82\x01",
        "a long extension code": b"\x84\x01\x00\x00\x00",
        "an out-of-band buffer": b"\x97\x98",
        "OBJ of protocol 0": b"(" + name("os", "system") + text("x") + b"o",
        "INST of protocol 0": b"(" + text("x") + b"ios\nsystem\n",
        "state with slots": built(
            name("collections", "OrderedDict"), many(b"N", mapping(__init__=text("x")))
        ),
        "a number of a million bits": b"\x8b" + struct.pack("<i", 125_000) + b"\x7f" * 125_000,
    }
    return {
        what: write_zip(folder / f"misuse{number}.pth", program(mapping(meta=body)))
        for number, (what, body) in enumerate(sorted(bodies.items()))
    }


def _bombs(folder: Path, marker: Path) -> dict[str, Path]:
    """Small files that would grow."""
    laugh = b"](NNNNNNNNNNe" + b"".join(b"q\x010](" + b"h\x01" * 10 + b"e" for _ in range(12))
    long_text = b"X" + struct.pack("<I", 1_000_000) + b"x" * 1_000_000 + b"q\x010"
    encodings = called(name("_codecs", "encode"), b"h\x01", text("latin1")) + b"0"
    same_hash = b"".join(
        b"\x8a\x0c" + (k * (2**61 - 1)).to_bytes(12, "little") + b"N" for k in range(1, 30_000)
    )
    bodies = {
        "billion laughs": laugh,
        "billion laughs as a key": b"}" + b"(NNt" + b"2\x86" * 70 + b"Ns",
        "a list in itself": b"]q\x00h\x00a",
        "a dictionary in itself": b"}q\x00" + text("x") + b"h\x00s",
        "nesting without end": b"]" * 100_000 + b"a" * 99_999,
        "marks without end": b"(" * 100_000 + b"t" * 100_000,
        "one text copied a million times": long_text + encodings * 20_000 + b"N",
        "keys of one hash": b"}(" + same_hash + b"u",
        "a length of 4 GB": b"T\xff\xff\xff\x7f" + b"x",
        "a length of 2 to the 60": b"\x8d" + struct.pack("<Q", 2**60) + b"x",
        "a memo number of 4 billion and a lie": b"Nr\xff\xff\xff\xff" + b"j\xfe\xff\xff\xff",
    }
    files = {
        what: write_zip(folder / f"bomb{number}.pth", program(mapping(meta=body)))
        for number, (what, body) in enumerate(sorted(bodies.items()))
    }
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC_NUMBER, 1001, {"little_endian": True}))
    root = program(mapping(w=tensor(many(integer(4)), many(integer(1)))), 2)
    path = folder / "stream_length.pth"
    path.write_bytes(head + root + pickle.dumps(["0"], 2) + struct.pack("<q", 2**50) + bytes(16))
    return files | {"a storage of 4 PB in the old format": path}


# Containers ---------------------------------------------------------------------------------------


def _zip_tricks(folder: Path, marker: Path) -> dict[str, Path]:
    parts = {"data.pkl": PLAIN, "byteorder": b"little", "data/0": bytes(16), "version": b"3\n"}

    def archive(
        file: str, change: Callable[[zipfile.ZipFile], None], prefix: str = "archive/", **kw: int
    ) -> Path:
        path = folder / file
        with zipfile.ZipFile(path, "w", **kw) as opened:
            for part, content in parts.items():
                opened.writestr(prefix + part, content)
            change(opened)
        return path

    def symlink(opened: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("archive/data/1")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")

    def nothing(_: zipfile.ZipFile) -> None:
        pass

    def bomb(opened: zipfile.ZipFile) -> None:
        opened.writestr("archive/data/1", bytes(50_000_000))

    plain = archive("plain_for_tricks.pth", nothing)
    data = plain.read_bytes()
    plain.unlink()

    def edited(file: str, content: bytes) -> Path:
        (folder / file).write_bytes(content)
        return folder / file

    wrong_sum = bytearray(data)
    wrong_sum[data.index(PLAIN) + len(PLAIN) // 2] ^= 1
    encrypted = bytearray(data)
    for at in _places_of(data, b"PK\x01\x02"):
        encrypted[at + 8] |= 1
    lying = bytearray(data)
    at = _places_of(data, b"PK\x01\x02")[2]
    lying[at + 24 : at + 28] = struct.pack("<I", 2**31)
    far = bytearray(data)
    end = data.rindex(b"PK\x05\x06")
    far[end + 16 : end + 20] = struct.pack("<I", 2**31)
    script = folder / "script.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), script)
    files = {
        "a name that climbs out": archive("climb.pth", lambda z: z.writestr("archive/data/../../../x", b"")),
        "two pickles of two folders": archive("two.pth", lambda z: z.writestr("other/data.pkl", PLAIN)),
        "no folder": archive("flat.pth", nothing, prefix=""),
        "a link in a zip archive": archive("link.pth", symlink),
        "a zip bomb": archive("zipbomb.pth", bomb, compression=zipfile.ZIP_DEFLATED),
        "an encrypted archive": edited("encrypted.pth", bytes(encrypted)),
        "a wrong checksum": edited("checksum.pth", bytes(wrong_sum)),
        "a length that lies": edited("lying.pth", bytes(lying)),
        "a directory beyond the end": edited("far.pth", bytes(far)),
        "a script in front of the archive": edited("front.pth", b"#!/bin/sh\ntouch x\n" + data),
        "a program in front of the archive": edited("front2.pth", _touch(marker) + data),
        "another byte order": write_zip(folder / "big.pth", PLAIN, {"byteorder": b"big"}),
        "a byte order of nothing": write_zip(folder / "order.pth", PLAIN, {"byteorder": b"\xff" * 9}),
        "TorchScript": script,
        "an empty zip archive": edited("nothing.pth", b"PK\x05\x06" + bytes(18)),
    }
    with zipfile.ZipFile(folder / "same.pth", "w") as opened:
        for part, content in parts.items():
            opened.writestr(f"archive/{part}", content)
        first = opened.infolist()[2]
        info = zipfile.ZipInfo("archive/data/00")
        info.header_offset, info.CRC, info.compress_size, info.file_size = (
            first.header_offset,
            first.CRC,
            16,
            16,
        )
        opened.filelist.extend([info] * 1)
        opened.filelist.append(first)  # one name twice
    files["two parts of one name"] = folder / "same.pth"
    for what, member in (
        ("a link in a tar archive", "storages"),
        ("a linked pickle in a tar archive", "pickle"),
    ):
        path = folder / f"tar_{member}.pth"
        files[what] = write_tar(path, program(mapping(), 2), {member: "/etc/passwd"})
    return files


def _places_of(data: bytes, sign: bytes) -> list[int]:
    places, at = [], data.find(sign)
    while at >= 0:
        places.append(at)
        at = data.find(sign, at + 1)
    return places


def _safetensors(folder: Path, marker: Path) -> dict[str, Path]:
    def made(header: object, data: bytes = bytes(16), length: int | None = None) -> bytes:
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(raw) if length is None else length) + raw + data

    def entry(
        begin: int = 0, end: int = 16, dtype: str = "F32", shape: tuple[int, ...] = (4,)
    ) -> dict[str, object]:
        return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}

    contents = {
        "overlapping tensors": made({"a": entry(0, 16), "b": entry(8, 16, shape=(2,))}),
        "an offset beyond the end": made({"a": entry(0, 2**40, shape=(2**38,))}),
        "offsets the wrong way round": made({"a": entry(16, 0)}),
        "a hole between tensors": made({"a": entry(0, 4, shape=(1,)), "b": entry(8, 16, shape=(2,))}),
        "a header of 2 to the 60": made({"a": entry()}, length=2**60),
        "a header longer than the file": made({"a": entry()}, length=10**6),
        "an unknown type": made({"a": entry(dtype="PICKLE")}),
        "a shape that overflows": made({"a": entry(shape=(2**63, 2**63))}),
        "a negative shape": made({"a": entry(shape=(-4,))}),
        "a header that is no JSON": made(b"{" + b"\xff" * 50),
        "a header nested without end": made(b'{"a":' * 5000 + b"1" + b"}" * 5000),
        "a truncated one": safetensors_bytes({"a": torch.ones(100)})[:-7],
        "a pickle": PLAIN,
    }
    files = {}
    for number, (what, content) in enumerate(sorted(contents.items())):
        path = folder / f"file{number}.safetensors"
        path.write_bytes(content)
        files[f"safetensors: {what}"] = path
    return files


# What is no checkpoint ----------------------------------------------------------------------------


def _other_files(folder: Path, marker: Path) -> dict[str, Path]:
    genuine = io.BytesIO()
    torch.save({"state_dict": {"w": torch.ones(3)}}, genuine)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("../../x")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    contents = {
        "a web page": b"<!DOCTYPE html><html><title>404 Not Found</title></html>",
        "a web page behind a mark": b"\xef\xbb\xbf\r\n<HTML><body>Sign in</body></HTML>",
        "an answer in JSON": b'{"message": "Bad credentials"}',
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "JSON": b'[{"mode": "train"}]\n',
        "a Python file": f"import os\nos.system('touch {marker}')\n".encode(),
        "a shell script": f"#!/bin/sh\ntouch {marker}\n".encode(),
        "a gzip file": gzip.compress(genuine.getvalue()),
        "a bzip2 file": bz2.compress(genuine.getvalue()),
        "a tar archive of another kind": tar.getvalue(),
        "a PNG image": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20),
        "an empty file": b"",
        "one byte": b"\x80",
        "zeros": bytes(5000),
        "a bare pickle": pickle.dumps({"state_dict": {"w": [1.0]}}),
        "an ELF program": b"\x7fELF\x02\x01\x01" + bytes(100),
    }
    files = {}
    for number, (what, content) in enumerate(sorted(contents.items())):
        path = folder / f"other{number}.pth"
        path.write_bytes(content)
        files[what] = path
    torch.save([torch.ones(2)], folder / "list.pth")
    torch.save({"meta": {"iter": 3}}, folder / "empty_state.pth")
    return files | {"a list": folder / "list.pth"}


def _truncated(folder: Path, marker: Path) -> dict[str, Path]:
    files = {}
    for kind, is_zip in (("zip", True), ("stream", False)):
        whole = io.BytesIO()
        torch.save({"state_dict": {"w": torch.ones(50, 50)}}, whole, _use_new_zipfile_serialization=is_zip)
        data = whole.getvalue()
        for share in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999):
            path = folder / f"cut_{kind}_{share}.pth"
            path.write_bytes(data[: max(1, min(len(data) - 1, int(share * len(data))))])
            files[f"{kind} cut off at {share}"] = path
    return files


def _places(folder: Path, marker: Path) -> dict[str, Path]:
    (folder / "empty_folder").mkdir(exist_ok=True)
    pipe = folder / "pipe.pth"
    if not pipe.exists():
        os.mkfifo(pipe)
    link = folder / "loop.pth"
    if not link.is_symlink():
        link.symlink_to("loop.pth")
    dangling = folder / "dangling.pth"
    if not dangling.is_symlink():
        dangling.symlink_to("gone.pth")
    return {
        "a folder": folder / "empty_folder",
        "a pipe": pipe,
        "a device": Path("/dev/zero"),
        "a link to itself": link,
        "a link to nothing": dangling,
        "nothing at all": folder / "there_is_none.pth",
    }
