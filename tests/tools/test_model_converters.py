from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from mmseg.conversion.weights_mit import convert_mit
from mmseg.models import build_backbone
from tests.conversion.test_weights import B0, original
from tests.helpers_run import REPO, run_tool_here


def convert(kind: str, *args: object, monkeypatch: pytest.MonkeyPatch) -> None:
    run_tool_here(f"model_converters/{kind}2mmseg", *args, monkeypatch=monkeypatch)


def test_mit(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source, target = tmp_path / "mit_b0.pth", tmp_path / "new" / "mit_b0_mmseg.pth"
    weights = {**original("mit_b0"), "head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)}
    torch.save(weights, source)
    convert("mit", source, target, monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert "left out, as the backbone has no counterpart: head.weight, head.bias\n" in said
    assert "embed_dims=32, num_layers=[2, 2, 2, 2]" in said
    assert str(target) in said
    written = torch.load(target, weights_only=True)
    torch.testing.assert_close(written, convert_mit(weights), rtol=0, atol=0)
    assert [p.name for p in target.parent.iterdir()] == [target.name]
    backbone = build_backbone({**B0, "pretrained": str(target)})
    backbone.init_weights()
    torch.testing.assert_close(dict(backbone.state_dict()), written, rtol=0, atol=0)


def test_swin_from_safetensors(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source, target = tmp_path / "swin.safetensors", tmp_path / "swin.pth"
    save_file(original("swin_t"), source)
    convert("swin", source, target, monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert all(key in said for key in ("head.weight", "head.bias", " norm.weight", "1.attn_mask"))
    assert "depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7" in said
    assert "stages.3.blocks.1.ffn.layers.1.bias" in torch.load(target, weights_only=True)


def test_resnet_and_what_it_does_not_fit(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source, target = tmp_path / "resnet18.pth", tmp_path / "converted.pth"
    torch.save(torchvision.models.resnet18().state_dict(), source)
    convert("resnet", source, target, monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert "left out, as the backbone has no counterpart: fc.weight, fc.bias\n" in said
    assert "ResNet, depth=18 (" in said
    assert "does not fit ResNetV1c and ResNetV1d" in said


def test_heads_of_a_segmentor_are_one_entry(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source = tmp_path / "segformer.pth"
    weights = {f"backbone.{key}": value for key, value in original("mit_b0").items()}
    weights |= {f"decode_head.linear_c{i}.proj.bias": torch.zeros(2) for i in range(4)}
    torch.save({"state_dict": weights}, source)
    convert("mit", source, tmp_path / "out.pth", monkeypatch=monkeypatch)
    assert "counterpart: decode_head.*\n" in capsys.readouterr().out


def refused(kind: str, *args: object, monkeypatch: Any, capsys: Any) -> str:
    """The one line that a converter ends with."""
    with pytest.raises(SystemExit) as stopped:
        convert(kind, *args, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def test_a_file_is_replaced_only_when_told(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source, target = tmp_path / "mit.pth", tmp_path / "out.pth"
    torch.save(original("mit_b0"), source)
    target.write_text("precious")
    said = refused("mit", source, target, monkeypatch=monkeypatch, capsys=capsys)
    assert "is there already; --force replaces it" in said
    assert target.read_text() == "precious"
    convert("mit", source, target, "--force", monkeypatch=monkeypatch)
    assert "layers.0.0.projection.weight" in torch.load(target, weights_only=True)


def test_mistakes_are_told_in_one_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source = tmp_path / "mit.pth"
    torch.save(original("mit_b0"), source)
    (tmp_path / "file").touch()
    (tmp_path / "folder.pth").mkdir()
    for kind, arguments, message in (
        ("swin", (source, tmp_path / "out.pth"), "it looks like MiT of the original SegFormer release"),
        ("mit", (tmp_path / "mti.pth", tmp_path / "out.pth"), "there is no checkpoint"),
        ("mit", (source, tmp_path / "out.safetensors"), "must end in .pth"),
        ("mit", (source, tmp_path / "folder.pth"), "is a folder"),
        ("mit", (source, tmp_path / "file" / "out.pth"), "cannot write"),
    ):
        said = refused(kind, *arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert message in said
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mit", "swin", "resnet"])
def test_help_answers_without_torch(kind: str) -> None:
    code = (
        "import runpy, sys; sys.argv = ['tool', '--help']\n"
        f"try: runpy.run_path('tools/model_converters/{kind}2mmseg.py', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, env={"PYTHONPATH": str(REPO)}
    )
    assert done.returncode == 0, done.stderr
    assert "--force" in done.stdout
