"""The corpus of malicious and broken files through every reader: one line each, and nothing else happens."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mmseg.utils.checkpoint import read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from tests.helpers_pickles import (
    built,
    called,
    integer,
    many,
    mapping,
    name,
    program,
    tensor,
    text,
    write_zip,
)
from tests.helpers_run import REPO, run_tool_here, tiny_config, write_config, write_dataset
from tests.utils.corpus import write_corpus

NOT_BY_UPLOAD = ("a pipe", "a device")  # an upload is a file that the page itself has written


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@functools.cache
def corpus_in(place: Path) -> dict[str, Path]:
    return write_corpus(place / "files", place / "marker")


def results_of(kind: str, place: Path, files: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Read every file in a process with bounded memory; return what became of each."""
    scratch = place / f"scratch_{kind}"
    scratch.mkdir()
    called_by = {str(path): what for what, path in files.items()}
    command = [sys.executable, "-m", "tests.utils.corpus_child", kind, str(scratch), *called_by]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return {called_by[record["path"]]: record for record in map(json.loads, lines)}


def check(results: dict[str, dict[str, Any]], files: dict[str, Path], place: Path) -> None:
    assert results.keys() == files.keys()
    for what, record in results.items():
        assert record["result"] == "UserError", f"{what}: {record}"
        assert record["events"] == [], f"{what}: {record['events']}"
        assert record["grown"] < 3e8, f"{what}: {record}"
        message = record["message"]
        assert message.isprintable() and len(message) < 700, f"{what}: {message!r}"
    assert not (place / "marker").exists()


@pytest.mark.parametrize("kind", ["read_checkpoint", "find_latest"])
def test_no_file_of_the_corpus_does_anything(kind: str, place: Path) -> None:
    files = dict(corpus_in(place))
    assert len(files) > 150
    if kind == "find_latest":
        for number, (what, path) in enumerate(corpus_in(place).items()):
            folder = place / "work_dirs" / str(number)
            folder.mkdir(parents=True)
            (folder / f"latest{path.suffix or '.pth'}").symlink_to(path)
            files[what] = folder
    check(results_of(kind, place, files), files, place)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["load_checkpoint", "publish", "convert", "upload"])
def test_nor_through_any_other_reader(kind: str, place: Path) -> None:
    files = {
        what: path for what, path in corpus_in(place).items() if kind != "upload" or what not in NOT_BY_UPLOAD
    }
    check(results_of(kind, place, files), files, place)


TOOLS = {
    "tools/test.py": ("test", lambda path: [path, "--eval", "mIoU"]),
    "--load-from": ("train", lambda path: ["--load-from", path]),
    "--resume-from": ("train", lambda path: ["--resume-from", path]),
}


@pytest.mark.slow
@pytest.mark.parametrize("use", TOOLS)
def test_nor_through_the_command_line(
    use: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "config.py", tiny_config(write_dataset(tmp_path / "data", 2, 1)))
    tool, arguments = TOOLS[use]
    for number, (what, path) in enumerate(corpus_in(place).items()):
        work_dir = ["--work-dir", tmp_path / "work"]
        with pytest.raises(SystemExit) as caught:
            run_tool_here(tool, config, *arguments(path), *work_dir, monkeypatch=monkeypatch)
        written = capsys.readouterr().err
        errors = [line for line in written.splitlines() if line.startswith("error: ")]
        assert caught.value.code == 2 and len(errors) == 1, f"{what}: {written[-1000:]}"
        assert "Traceback" not in written
        assert str(path) in errors[0], f"{number} {what}: {errors[0]}"
    assert not (place / "marker").exists()


# What must go on loading --------------------------------------------------------------------------

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2), "n": torch.tensor(7)}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_genuine_files_load(is_zip: bool, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    state = {prefix + key: value for key, value in STATE.items()}
    ema = {"weights": STATE, "momentum": 1e-3}
    meta = {"iter": 3, "CLASSES": ("a", "b"), "size": torch.Size([2, 3]), "device": torch.device("cuda:1")}
    torch.save({"state_dict": state, "ema": ema, "meta": meta}, path, _use_new_zipfile_serialization=is_zip)
    checkpoint = read_checkpoint(path)
    assert checkpoint["meta"] == meta and type(checkpoint["meta"]["size"]) is torch.Size
    loaded = state_dict_of(checkpoint)
    assert all(torch.equal(loaded[key], value) for key, value in STATE.items())
    assert loaded.keys() == STATE.keys()
    ours, shared = checkpoint["ema"]["weights"]["a.weight"], checkpoint["state_dict"][prefix + "a.weight"]
    assert ours.data_ptr() == shared.data_ptr()  # saved once, read once


@pytest.mark.parametrize("core", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_both_numpys_load(core: str, tmp_path: Path) -> None:
    f8 = built(called(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88"), many(integer(3), text("<")))
    encoded = called(name("_codecs", "encode"), text("\x00\x00\x00\x00\x00\x00\xf8\x3f"), text("latin1"))
    body = mapping(
        state_dict=mapping(w=tensor(many(integer(4)), many(integer(1)))),
        meta=mapping(best=called(name(core, "scalar"), f8, encoded)),
    )
    checkpoint = read_checkpoint(write_zip(tmp_path / "x.pth", program(body)))
    assert checkpoint["meta"] == {"best": 1.5}
    assert torch.equal(checkpoint["state_dict"]["w"], torch.zeros(4))


def test_sparse_and_quantized_tensors_are_read_and_refused_as_weights(tmp_path: Path) -> None:
    odd = {
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "empty": torch.empty(2, device="meta"),
    }
    for what, value in odd.items():
        path = tmp_path / f"{what}.pth"
        torch.save({"state_dict": {"w": value}}, path)
        checkpoint = read_checkpoint(path)
        assert checkpoint["state_dict"]["w"].shape == value.shape
        with pytest.raises(UserError, match="the tensor w has .*; save the weights as plain tensors"):
            state_dict_of(checkpoint, str(path))


ODD_META = [
    ({"meta": [1]}, "meta"),
    ({"meta": "x"}, "meta"),
    ({"meta": {"iter": "7"}}, "meta.iter"),
    ({"meta": {"iter": float("inf")}}, "meta.iter"),
    ({"meta": {"epoch": -1}}, "meta.epoch"),
    ({"meta": {"CLASSES": 5, "PALETTE": {"a": 1}}}, "meta.CLASSES, meta.PALETTE"),
]


@pytest.mark.parametrize(("content", "named"), ODD_META)
def test_what_is_no_meta_is_left_out_and_told(
    content: dict[str, Any], named: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"state_dict": STATE, **content}, tmp_path / "x.pth")
    logger = get_root_logger()
    logger.addHandler(caplog.handler)
    checkpoint = read_checkpoint(tmp_path / "x.pth")
    logger.removeHandler(caplog.handler)
    assert not checkpoint.get("meta")
    assert f"left out {named}, which" in caplog.text


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pth"
    torch.save({"state_dict": STATE}, path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match="x.pth: Permission denied; check its path and permissions"):
        read_checkpoint(path)
