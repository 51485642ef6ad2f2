"""Small models of every kind in every format: any size, any batch, as PyTorch computes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseg.apis.export import DifferenceError, export_model
from mmseg.apis.export.check import sizes_to_check
from mmseg.apis.export.formats import ONNX, PROGRAM, TORCHSCRIPT
from mmseg.utils.errors import UserError
from tests.helpers_export import config_of, tiny, with_weights
from tests.helpers_run import CLASSES, NORM, PALETTE

FAMILIES = ("SegFormer", "DeepLabV3+", "PSPNet", "UNet", "Swin", "Baseline", "UPerNet", "FPN", "timm")
HW = (80, 96)


def exported(name: str, path: Path, kind: Any, **options: Any) -> list[Any]:
    return export_model(with_weights(config_of(tiny(name))), str(path), kind, hw=HW, **options)


def check(differences: list[Any], path: Path) -> None:
    assert path.stat().st_size > 1000
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file is left
    assert len({d.hw for d in differences}) == 3 and {d.batch for d in differences} == {1, 2}
    assert min(d.largest_logit for d in differences) > 0.02
    assert max(d.largest for d in differences) < 1e-5
    assert min(d.labels for d in differences) > 0.999


@pytest.mark.parametrize("name", FAMILIES)
def test_torchscript(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    check(exported(name, path, TORCHSCRIPT), path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ONNX, PROGRAM], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", FAMILIES)
def test_onnx_and_program(name: str, kind: Any, tmp_path: Path) -> None:
    path = tmp_path / f"model{kind.suffix}"
    check(exported(name, path, kind), path)


def test_program_with_everything_built_in(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    check(exported("UNet", path, PROGRAM, with_preprocessing=True, argmax=True), path)
    files = {"metadata.json": ""}
    module = torch.export.load(path, extra_files=files).module()
    about = json.loads(files["metadata.json"])
    assert (about["input_layout"], about["output_name"]) == ("NHWC", "labels")
    one = module(torch.zeros(1, 32, 48, 3, dtype=torch.uint8))
    assert one.shape == (1, 32, 48) and one.dtype == torch.int64


def test_metadata_of_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    exported("UNet", path, TORCHSCRIPT, config="configs/a.py", checkpoint="runs/b.pth")
    files = {"metadata.json": ""}
    torch.jit.load(path, _extra_files=files)
    about = json.loads(files["metadata.json"])
    expected = {
        "config": "a.py",
        "checkpoint": "b.pth",
        "classes": list(CLASSES),
        "palette": PALETTE,
        "num_classes": 3,
        "input_name": "img",
        "input_layout": "NCHW",
        "input_dtype": "float32",
        "input_color": "RGB",
        "normalize_in_graph": False,
        "mean": NORM["mean"],
        "std": NORM["std"],
        "to_rgb": True,
        "size_divisor": 4,
        "fixed_size": None,
        "output_name": "logits",
        "threshold": None,
        "test_cfg": {"mode": "whole"},
    }
    assert {key: about[key] for key in expected} == expected
    assert about["test_pipeline"][1]["img_scale"] == [96, 80]


def test_built_in_normalisation_is_that_of_the_pipeline(tmp_path: Path) -> None:
    from mmseg.datasets.pipelines import Normalize

    path = tmp_path / "model.pt"
    exported("UNet", path, TORCHSCRIPT, with_preprocessing=True)
    image = np.random.default_rng(1).integers(0, 256, (*HW, 3), dtype=np.uint8)
    levels = Normalize(**NORM)({"img": image.copy()})["img"].transpose(2, 0, 1)[None]
    model = with_weights(config_of(tiny("UNet")))
    with torch.no_grad():
        expected = model.encode_decode(torch.from_numpy(np.ascontiguousarray(levels)), None)
        given = torch.jit.load(path)(torch.from_numpy(image[None]))
    assert torch.allclose(given, expected, atol=1e-5)


def test_fixed_size(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    (difference,) = exported("UNet", path, PROGRAM, dynamic=False)
    assert difference.hw == HW and difference.largest < 1e-6
    module = torch.export.load(path).module()
    assert module(torch.zeros(1, 3, *HW)).shape == (1, 3, *HW)
    with pytest.raises(Exception, match="(?i)expected|guard"):
        module(torch.zeros(1, 3, 96, 96))


def test_binary_model(tmp_path: Path) -> None:
    section = tiny("UNet")
    section["decode_head"].update(task="binary", num_classes=2, threshold=0.4)
    model = with_weights(config_of(section))
    differences = export_model(model, str(tmp_path / "model.pt"), TORCHSCRIPT, hw=HW, argmax=True)
    assert max(d.largest for d in differences) == 0
    labels = torch.jit.load(tmp_path / "model.pt")(torch.randn(1, 3, *HW))
    assert set(labels.unique().tolist()) == {0, 1}


def test_auxiliary_heads_stay_behind(tmp_path: Path) -> None:
    section = tiny("UNet")
    section["auxiliary_head"] = {**section["decode_head"], "in_channels": 8, "in_index": 1}
    model = with_weights(config_of(section))
    export_model(model, str(tmp_path / "model.pt"), TORCHSCRIPT, hw=HW)
    names = torch.jit.load(tmp_path / "model.pt").state_dict()
    assert names and not any("auxiliary" in name for name in names)
    assert any(name.startswith("auxiliary_head.") for name in model.state_dict())


def test_a_file_that_differs_does_not_take_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"the one before")
    load = TORCHSCRIPT.load
    broken = type(TORCHSCRIPT)(
        TORCHSCRIPT.name,
        TORCHSCRIPT.suffix,
        TORCHSCRIPT.runtime,
        TORCHSCRIPT.write,
        lambda p: lambda image: load(p)(image) + 0.01,
        TORCHSCRIPT.example_hw,
        TORCHSCRIPT.smallest,
    )
    with pytest.raises(DifferenceError, match=r"differs from PyTorch by 1\.\d+e-02 at .* was not written"):
        exported("UNet", path, broken)
    assert path.read_bytes() == b"the one before"
    assert len(list(tmp_path.iterdir())) == 1
    loose = exported("UNet", path, broken, tolerance=0.1)
    assert max(d.largest for d in loose) > 0.009 and path.stat().st_size > 1000


def test_wrong_labels_are_measured_in_logits() -> None:
    from mmseg.apis.export.check import compare
    from mmseg.apis.export.graph import ExportedSegmentor

    module = ExportedSegmentor(with_weights(config_of(tiny("UNet"))), argmax=True)
    image = torch.randn(1, 3, *HW)
    with torch.no_grad():
        logits = module.segmentor.encode_decode(image, None)
    second = logits.topk(2, dim=1)
    found = compare(module, lambda _: second.indices[:, 1], image)
    assert found.largest == pytest.approx(float((second.values[:, 0] - second.values[:, 1]).max()))
    assert found.labels == 0
    assert compare(module, module, image).largest == 0
    assert compare(module, lambda _: second.indices[:, 0] + 7, image).largest == float("inf")
    assert compare(module, lambda _: second.indices[:, 0, :4], image).largest == float("inf")


@pytest.mark.parametrize("divisor", [1, 16, 32])
@pytest.mark.parametrize("smallest", [64, 256])
def test_sizes_of_the_check(divisor: int, smallest: int) -> None:
    for height in range(divisor, 600, 37 * divisor):
        for width in range(divisor, 1400, 53 * divisor):
            sizes = sizes_to_check((height, width), divisor, smallest)
            assert sizes[0] == (1, (height, width)) and sizes[1][0] == 2
            assert len({hw for _, hw in sizes}) == 3
            for _, hw in sizes[1:]:
                assert min(hw) >= smallest and not hw[0] % divisor and not hw[1] % divisor


def test_size_that_does_not_divide(tmp_path: Path) -> None:
    model = with_weights(config_of(tiny("UNet")))
    with pytest.raises(UserError, match="must divide by 4; use --shape 84 96"):
        export_model(model, str(tmp_path / "model.pt"), TORCHSCRIPT, hw=(81, 96))


@pytest.mark.parametrize(
    ("step", "message"),
    [("CLAHE", "builds in Normalize alone, but the test pipeline has CLAHE"), (None, "has no Normalize")],
)
def test_preprocessing_that_cannot_be_built_in(step: str | None, message: str, tmp_path: Path) -> None:
    config = config_of(tiny("UNet"))
    views = config.data.test.pipeline[1].transforms
    views[2] = {"type": "Normalize", **NORM} if step else {"type": "RandomFlip"}
    if step:
        views.insert(2, {"type": step})
    with pytest.raises(UserError, match=message):
        export_model(
            with_weights(config), str(tmp_path / "m.pt"), TORCHSCRIPT, hw=HW, with_preprocessing=True
        )
    assert list(tmp_path.iterdir()) == []
