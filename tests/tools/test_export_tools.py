"""The exporting tools: what they print, and what they refuse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.helpers_export import config_of, tiny, with_weights
from tests.helpers_run import run_tool_here

TOOLS = ("pytorch2onnx", "pytorch2torchscript", "pytorch2export")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A config and a checkpoint of it."""
    config = config_of(tiny("UNet"))
    config.dump(str(tmp_path / "tiny.py"))
    torch.save({"state_dict": with_weights(config).state_dict()}, tmp_path / "tiny.pth")
    return tmp_path / "tiny.py", tmp_path / "tiny.pth"


def test_torchscript_by_the_arguments_of_0x(
    files: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    config, checkpoint = files
    out = tmp_path / "out" / "tiny.pt"
    arguments = ("--checkpoint", checkpoint, "--output-file", out, "--shape", 64, 80, "--verify", "--show")
    run_tool_here("pytorch2torchscript", config, *arguments, monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert "graph(" in printed and "largest difference" in printed and "64 x 80" in printed
    assert f"wrote {out}" in printed and "any size" in printed
    assert torch.jit.load(out)(torch.zeros(3, 3, 100, 60)).shape == (3, 3, 100, 60)


def test_size_of_the_test_pipeline_and_a_picture(
    files: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    out = tmp_path / "tiny.pt2"
    run_tool_here(
        "pytorch2export", files[0], "--output-file", out, "--input-img", picture, "--fixed-shape",
        "--argmax", monkeypatch=monkeypatch,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "80 x 96" in printed and "the weights are random" in printed and "one image of 80x96" in printed
    assert out.stat().st_size > 1000


def test_status_1_where_the_file_differs(files: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    import mmseg.apis.export.export as export

    right = export.compare
    monkeypatch.setattr(export, "compare", lambda m, run, image: right(m, lambda x: run(x) + 1, image))
    with pytest.raises(SystemExit) as stopped:
        run_tool_here(
            "pytorch2torchscript", files[0], "--output-file", tmp_path / "a.pt", monkeypatch=monkeypatch
        )
    assert stopped.value.code == 1
    assert "error: TorchScript differs from PyTorch by 1.00e+00" in capsys.readouterr().err
    assert not (tmp_path / "a.pt").exists()


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.py",), "config file none.py does not exist"),
        (("CONFIG", "--checkpoint", "none.pth"), "there is no checkpoint none.pth"),
        (("CONFIG", "--checkpoint", "CONFIG"), "is broken, or no checkpoint of PyTorch"),
        (("CONFIG", "--shape", "0", "64"), "--shape is H W or one number for both"),
        (("CONFIG", "--shape", "63", "64"), "this model's images must divide by 4; use --shape 64 64"),
        (("CONFIG", "--input-img", "CONFIG"), "is no image that OpenCV can read"),
        (("CONFIG", "--output-file", "."), "is a folder; give a file in it|files end in .pt2"),
        (("CONFIG", "--output-file", "CONFIG/a.pt2"), "cannot write .*a.pt2: "),
        (("CONFIG", "--tolerance", "-1"), "--tolerance must not be negative, and is -1.0"),
        (("CONFIG", "--cfg-options", "model.backbone.type=UNett"), "did you mean `UNet`"),
    ],
    ids=lambda value: " ".join(value[1:3]) if isinstance(value, tuple) else "",
)
def test_mistakes(
    tool: str, arguments: tuple[str, ...], message: str, files: Any, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(files[0].parent)
    given = [word.replace("CONFIG", str(files[0])) for word in arguments]
    with pytest.raises(SystemExit) as stopped:
        run_tool_here(tool, *given, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and re.search(message, line), line
