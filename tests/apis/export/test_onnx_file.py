"""An ONNX file as its user meets it: its names, its metadata, the example of the page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg.apis import inference_segmentor
from mmseg.apis.export import export_model
from mmseg.utils.errors import UserError
from tests.docs.markdown import ROOT, blocks_of
from tests.helpers_export import config_of, tiny, with_weights

HW = (80, 96)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return with_weights(config_of(tiny("UNet")))


@pytest.fixture(scope="module")
def path(model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "unet.onnx"
    differences = export_model(model, str(path), hw=HW)
    assert max(d.largest for d in differences) < 1e-5
    return path


def test_names_and_sizes(path: Path) -> None:
    import onnx

    graph = onnx.load(path).graph
    (image,), (logits,) = graph.input, graph.output
    assert (image.name, logits.name) == ("img", "logits")
    names = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert names == ["batch", 3, "height", "width"]
    names = [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim]
    assert names == ["batch", 3, "height", "width"]


def test_the_example_of_the_page(path: Path, model: torch.nn.Module, tmp_path: Path) -> None:
    """It needs neither torch nor this toolbox, and gives what ``inference_segmentor`` gives."""
    (block,) = [b for b in blocks_of(ROOT / "docs" / "export.md", "python") if b.file == "segment_onnx.py"]
    (tmp_path / "torch.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "mmseg.py").write_text("raise ImportError('not here')\n")
    script = tmp_path / "segment_onnx.py"
    script.write_text(block.text)
    image = np.random.default_rng(0).integers(0, 256, (*HW, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    command = [sys.executable, str(script), str(path), "image.png", "labels.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    assert re.search(r"^(left|middle|right) +\d+\.\d %$", done.stdout, re.MULTILINE)
    (expected,) = inference_segmentor(model, image)
    assert len(np.unique(expected)) > 1
    colours = np.array(model.PALETTE, np.uint8)[expected][..., ::-1]
    assert (cv2.imread(str(tmp_path / "labels.png")) == colours).mean() > 0.999


def test_version_of_the_operators(model: torch.nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--opset-version 11: PyTorch's exporter writes 18 to \d+"):
        export_model(model, str(tmp_path / "old.onnx"), hw=HW, opset=11)


def test_a_missing_package_is_named(
    model: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r'onnxruntime cannot be imported .*pip install -e "\.\[export\]"'):
        export_model(model, str(tmp_path / "a.onnx"), hw=HW)
