"""Hostile and broken files: each is refused with one clear line, and nothing of it runs."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_pickles import (
    built,
    called,
    dotted,
    inert_names,
    integer,
    listing,
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

# weights_only gives up at this, so what follows it is for our own reader.
OLD = called(name("mmcv", "Config"))
LIVE = sorted(live_programs(Path("x")))
WRITERS: dict[str, Callable[[Path, bytes], Path]] = {
    "zip": write_zip,
    "stream": write_stream,
    "tar": write_tar,
    "raw": lambda path, data: path.write_bytes(data) and path,
}


def refusal(path: Path) -> str:
    """Return the message with which ``path`` is refused, and check that it is one clear line."""
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and message.isprintable()
    assert len(message) < 700
    return message


@pytest.mark.parametrize("kind", LIVE)
def test_the_live_programs_are_dangerous_for_the_pickle_module(kind: str, tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    data = program(live_programs(sentinel)[kind], protocol=2 if "Python 2" in kind else 4)
    result = pickle.loads(data)
    if hasattr(result, "wait"):
        result.wait()
    assert sentinel.exists()


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", LIVE)
def test_no_program_runs_in_any_format(kind: str, writer: str, tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    for protocol in (2, 4):
        data = program(live_programs(sentinel)[kind], protocol)
        message = refusal(WRITERS[writer](tmp_path / "hostile.pth", data))
        assert "is refused: it asks for" in message
    assert not sentinel.exists()


@pytest.mark.parametrize(("module", "attribute"), inert_names())
def test_names_that_no_checkpoint_needs_are_refused_and_named(
    module: str, attribute: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.pth"
    for reference in (name(module, attribute), dotted(module, attribute)):
        for body in (called(reference, text("x")), mapping(state_dict=mapping(), meta=reference)):
            assert f"`{module}.{attribute}`" in refusal(write_zip(path, program(body)))


HOSTILE_CALLS = {
    "getattr of an allowed function": called(
        name("builtins", "getattr"), name("collections", "OrderedDict"), text("__class__")
    ),
    "getattr of a tensor": called(name("builtins", "getattr"), tensor(many(), many()), text("__class__")),
    "getattr of text": called(name("__builtin__", "getattr"), text("x"), text("format")),
    "state of a function": built(name("collections", "OrderedDict"), mapping(__call__=text("x"))),
    "slots of a function": built(
        name("torch._utils", "_rebuild_tensor_v2"), many(b"}", mapping(__globals__=b"}"))
    ),
    "state of a storage": built(storage(), mapping(dtype=b"N")),
    "call of a number": called(integer(1)),
    "call of a result": called(called(name("collections", "OrderedDict"))),
    "call of a storage type": called(name("torch", "FloatStorage"), integer(10)),
    "call without a tuple": name("collections", "OrderedDict") + b"]R",
    "rebuild by a foreign function": called(
        name("torch._tensor", "_rebuild_from_type_v2"), integer(1), name("torch", "Tensor"), many(), b"}"
    ),
    "encoding with a codec": called(name("_codecs", "encode"), text("x"), text("rot13")),
    "a tensor of no storage": called(
        name("torch._utils", "_rebuild_tensor_v2"), text("x"), integer(0), many(), many(), b"\x89", b"N"
    ),
    "a persistent id of a module": many(text("module"), name("torch", "Tensor"), text("f"), text("s")) + b"Q",
    "a persistent id of text": text("storage") + b"Q",
    "a storage of no kind": many(text("storage"), text("x"), text("0"), text("cpu"), integer(1)) + b"Q",
    "an extension code": b"\x82\x01",
    "an out-of-band buffer": b"\x97",
    "items of a tuple": many() + b"Na",
    "keys of a list": b"]" + text("a") + b"Ns",
    "exponential keys": b"}" + b"(NNt" + b"2\x86" * 60 + b"Ns",
}


@pytest.mark.parametrize("writer", ["zip", "stream"])
@pytest.mark.parametrize("kind", HOSTILE_CALLS)
def test_misuse_of_what_is_allowed_is_refused(kind: str, writer: str, tmp_path: Path) -> None:
    body = mapping(old=OLD, meta=HOSTILE_CALLS[kind])
    message = refusal(WRITERS[writer](tmp_path / "hostile.pth", program(body)))
    assert "is refused: it asks for" in message or "is broken" in message


def test_objects_of_foreign_packages_do_nothing_and_are_dropped(tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    touch = text(f"touch {sentinel}")
    meta = mapping(
        a=called(dotted("mmseg.utils.env", "subprocess.getoutput"), touch),
        b=called(called(name("builtins", "getattr"), name("mmcv.utils", "Config"), text("os.system")), touch),
        c=built(name("mmengine.config", "Config") + many() + b"\x81", mapping(x=integer(1))),
        d=listing(integer(1), called(name("mmcv", "x")), integer(2)),
        e=integer(5),
    )
    checkpoint = read_checkpoint(write_zip(tmp_path / "old.pth", program(mapping(meta=meta))))
    assert checkpoint == {"meta": {"d": [1, None, 2], "e": 5}}
    assert not sentinel.exists()


def test_an_error_inside_a_foreign_object_still_refuses(tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    inner = live_programs(sentinel)["os.system"]
    body = mapping(meta=called(name("mmcv", "Config"), inner))
    assert "`posix.system`" in refusal(write_zip(tmp_path / "hostile.pth", program(body)))
    assert not sentinel.exists()


IMPOSSIBLE_TENSORS = {
    "larger than its data": tensor(many(integer(5)), many(integer(1))),
    "far larger": tensor(many(integer(2**31 - 1)), many(integer(2**31 - 1))),
    "offset beyond the end": tensor(many(integer(1)), many(integer(1)), offset=4),
    "negative offset": tensor(many(integer(1)), many(integer(1)), offset=-1),
    "negative stride": tensor(many(integer(2)), many(integer(-1)), offset=1),
    "negative size": tensor(many(integer(-1)), many(integer(1))),
    "sizes and strides differ": tensor(many(integer(1)), many()),
    "size of text": tensor(text("ab"), text("cd")),
    "more numbers than stored": tensor(many(integer(9)), many(integer(1)), data=storage(numel=9)),
    "a storage that is not there": tensor(many(integer(1)), many(integer(1)), data=storage("7")),
    "a storage outside the archive": tensor(many(integer(1)), many(integer(1)), data=storage("../data.pkl")),
}


@pytest.mark.parametrize("writer", ["zip", "stream"])
@pytest.mark.parametrize("kind", IMPOSSIBLE_TENSORS)
def test_impossible_tensors_are_refused(kind: str, writer: str, tmp_path: Path) -> None:
    body = mapping(old=OLD, state_dict=mapping(w=IMPOSSIBLE_TENSORS[kind]))
    assert "is broken" in refusal(WRITERS[writer](tmp_path / "broken.pth", program(body)))


BROKEN_PICKLES = {
    "cut short": mapping(a=integer(1)) + b"X\x09\x00\x00\x00ab",
    "an unknown instruction": b"\xff",
    "an empty stack": b"a",
    "no mark": b"u",
    "an unknown memo": b"h\x07",
    "text without an end": b"\x8d" + b"\xff" * 8,
    "an unhashable key": b"}" + b"]" + b"Ns",
    "half a pair": b"}(Nu",
}


@pytest.mark.parametrize("kind", BROKEN_PICKLES)
def test_broken_pickles_are_refused(kind: str, tmp_path: Path) -> None:
    assert "is broken" in refusal(write_zip(tmp_path / "broken.pth", program(BROKEN_PICKLES[kind])))


def test_a_huge_memo_index_costs_nothing(tmp_path: Path) -> None:
    body = mapping(old=OLD, meta=b"Nr\xff\xff\xff\xff")
    assert read_checkpoint(write_zip(tmp_path / "odd.pth", program(body))) == {"meta": None}


def test_a_circle_is_refused(tmp_path: Path) -> None:
    for old in (b"", text("old") + OLD):
        body = b"}q\x00(" + old + text("self") + b"h\x00" + b"u"
        assert "holds an object that holds itself" in refusal(write_zip(tmp_path / "odd.pth", program(body)))


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    body = mapping(old=OLD, x=b"]" * 50_000 + b"a" * 49_999)
    assert "is broken" in refusal(write_zip(tmp_path / "odd.pth", program(body)))


ZIP_TRICKS = {
    "TorchScript": ({"constants.pkl": b"x", "code/a.py": b"import os"}, "TorchScript"),
    "another machine": ({"byteorder": b"big"}, "big-endian"),
}


@pytest.mark.parametrize("kind", ZIP_TRICKS)
def test_zip_archives_of_other_kinds(kind: str, tmp_path: Path) -> None:
    extra, words = ZIP_TRICKS[kind]
    body = mapping(old=OLD, state_dict=mapping())
    assert words in refusal(write_zip(tmp_path / "odd.pth", program(body), extra))


def test_zip_tricks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    data = program(mapping(state_dict=mapping()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(10_000_000))
    assert "compressed or encrypted parts" in refusal(path)
    write_zip(path, data)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", data)
    assert "not one of torch.save" in refusal(path)
    write_zip(path, data)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", bytes(16))
    assert "two parts of one name" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "is a zip archive of 1 file, not a checkpoint" in refusal(path)


def test_overlapping_zip_parts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program(mapping(state_dict=mapping())))
        archive.writestr("archive/data/0", bytes(100_000))
        first = archive.infolist()[1]
        for i in range(1, 50):  # further entries that name the same bytes
            info = zipfile.ZipInfo(f"archive/data/{i}")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.compress_size = info.file_size = first.file_size
            archive.filelist.append(info)
    assert "overlapping parts" in refusal(path)


def test_a_tar_archive_with_links_is_refused(tmp_path: Path) -> None:
    body = program(mapping(state_dict=mapping()), 2)
    path = write_tar(tmp_path / "odd.pth", body, {"storages": "/etc/passwd"})
    assert "a link or device `storages`" in refusal(path)
    path = write_tar(tmp_path / "odd.pth", program(mapping(m=many(text("x"), b"N", b"N") + b"Q"), 2))
    assert "a whole pickled model" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\n  <HTML><body>Sign in</body>", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"model = dict(type='EncoderDecoder')\n", "is broken, or no checkpoint"),
        (b"import torch\nfrom torch import nn\n", "is broken, or no checkpoint of PyTorch: it is text"),
        (b"Pixels of 19 classes.\n", "is broken, or no checkpoint of PyTorch: it is text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is a PNG image, not a checkpoint; give a .pth"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "is a JPEG image, not a checkpoint"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "is a WebP image, not a checkpoint"),
        (b"BM\x0e\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00", "is a BMP image, not a checkpoint"),
        (b"\x00\x00\x00\x20ftypisom", "is an MP4 video or a HEIF image, not a checkpoint"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "is a gzip archive, not a checkpoint; unpack it"),
        (b"\x93NUMPY\x01\x00", "is an array of NumPy, not a checkpoint"),
        (b"\x89HDF\r\n\x1a\n\x00", "is an HDF5 file"),
        (b"\x00" * 5000, "is broken, or no checkpoint"),
        (b"PK\x03\x04" + b"\x00" * 100, "is broken, or no checkpoint"),
        (pickle.dumps({"state_dict": {}}), "is broken, or no checkpoint"),
        (pickle.dumps([1, 2]), "is broken, or no checkpoint"),
    ],
)
def test_other_files_are_recognised(content: bytes, words: str, tmp_path: Path) -> None:
    for ending in ("pth", "safetensors"):
        path = tmp_path / f"file.{ending}"
        path.write_bytes(content)
        message = refusal(path)
        assert words in message


def test_archives_of_other_files_are_recognised(tmp_path: Path) -> None:
    inside = tmp_path / "notes.txt"
    inside.write_text("x")
    path = tmp_path / "all.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inside, "run/notes.txt")
    assert "is a zip archive of 1 file, not a checkpoint; unpack it" in refusal(path)
    with open(path, "wb") as file:
        np.savez(file, a=np.zeros(3))
    assert "is an archive of NumPy arrays (.npz), not a checkpoint" in refusal(path)
    with tarfile.open(path, "w") as archive:
        archive.add(inside)
    assert "it is a tar archive, but not one of torch.save" in refusal(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize("ending", ["zip", "stream", "safetensors"])
def test_truncated_files_are_refused(ending: str, share: float, tmp_path: Path) -> None:
    state = {"a.weight": torch.randn(30, 30), "a.bias": torch.randn(30)}
    path = tmp_path / ("x.safetensors" if ending == "safetensors" else "x.pth")
    if ending == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=ending == "zip")
    assert read_checkpoint(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is broken" in refusal(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "latest.pth")
    assert "is a folder; give a file in it (latest.pth)" in refusal(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no checkpoint is in it" in refusal(tmp_path / "empty")
    assert "did you mean `latest.pth`" in refusal(tmp_path / "lates.pth")
    assert "its folder holds latest.pth" in refusal(tmp_path / "0000")
    assert "its folder holds no checkpoint" in refusal(tmp_path / "empty" / "x.pth")
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "x.pth")
    with pytest.raises(UserError, match="addresses begin with https://.* not with s3://; copy the file"):
        read_checkpoint("s3://bucket/x.pth")


def test_a_file_without_a_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    assert "holds no dictionary but a list" in refusal(tmp_path / "list.pth")
    path = write_zip(tmp_path / "model.pth", program(called(name("mmseg.models", "EncoderDecoder"))))
    assert "save its state_dict() instead" in refusal(path)


@given(data=st.data())
def test_any_damage_gives_a_checkpoint_or_one_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "fuzzed.pth"
    scalar = called(
        name("numpy.core.multiarray", "scalar"),
        built(called(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88"), many(integer(3), text("<"))),
        called(name("_codecs", "encode"), text("\x00" * 8), text("latin1")),
    )
    body = bytearray(
        program(mapping(state_dict=mapping(w=tensor(many(integer(4)), many(integer(1)))), b=scalar))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    writer = data.draw(st.sampled_from([write_zip, write_stream]))
    try:
        assert isinstance(read_checkpoint(writer(path, bytes(body))), dict)
    except UserError as error:
        assert "\n" not in str(error)
