"""Genuine checkpoints of every age are read: values, dtypes, and without what is not data."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError
from tests.helpers_pickles import called, integer, mapping, name, program, text, write_tar, write_zip

DATA = Path(__file__).parent.parent / "data" / "checkpoints"
GENUINE = ["mmseg_0.25.pth", "mmseg_1.x.pth"]


@pytest.mark.parametrize("file", GENUINE)
def test_weights_only_refuses_the_two_old_files(file: str) -> None:
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(DATA / file, weights_only=True)


@pytest.mark.parametrize("file", GENUINE)
def test_old_checkpoints_give_the_recorded_logits(file: str) -> None:
    from mmseg.models import build_segmentor

    model = build_segmentor(json.loads((DATA / "model.json").read_text()))
    report = load_into(model, state_dict_of(read_checkpoint(DATA / file)), purpose="test", source=file)
    assert not (report.missing or report.unexpected or report.mismatched)
    image = np.random.default_rng(7).standard_normal((1, 3, 64, 96), dtype=np.float32)
    with torch.no_grad():
        logits = model.eval().encode_decode(torch.from_numpy(image), [{}])
    expected = np.load(DATA / "logits.npz")["y"]
    difference = np.linalg.norm(logits[:, :, ::4, ::4].numpy() - expected)
    assert difference <= 1e-3 * np.linalg.norm(expected)


def test_the_0_25_file_keeps_everything_but_numpy_s_types() -> None:
    checkpoint = read_checkpoint(DATA / "mmseg_0.25.pth")
    assert list(checkpoint) == ["meta", "state_dict", "optimizer"]
    meta = checkpoint["meta"]
    assert meta["mmseg_version"].startswith("0.25.0") and meta["config"].startswith("model = dict(")
    state = checkpoint["optimizer"]["state"]
    assert len(state) > 50 and state[0]["exp_avg"].shape == (8, 3, 7, 7)
    found = set()

    def visit(value: object) -> None:
        found.add(type(value))
        if isinstance(value, dict):
            for key, item in value.items():
                visit(key), visit(item)
        elif isinstance(value, list | tuple):
            for item in value:
                visit(item)

    visit(checkpoint)
    assert found <= {dict, list, tuple, str, int, float, bool, type(None), torch.Tensor}


def test_the_1_x_file_loses_only_what_is_no_data() -> None:
    checkpoint = read_checkpoint(DATA / "mmseg_1.x.pth")
    assert set(checkpoint) >= {"meta", "state_dict", "message_hub"}
    assert checkpoint["meta"]["iter"] == 3
    assert checkpoint["message_hub"]["log_scalars"] == {}  # held mmengine's HistoryBuffers
    names = set(checkpoint["state_dict"])
    kept = set(state_dict_of(checkpoint))
    assert names - kept == {"data_preprocessor.mean", "data_preprocessor.std"}
    assert kept == set(state_dict_of(read_checkpoint(DATA / "mmseg_0.25.pth")))


def sample() -> dict:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    base = torch.arange(10.0)
    return {
        "state_dict": model.state_dict(),
        "parameter": model[0].weight,
        "base": base,
        "view": base[2:5],
        "transposed": torch.arange(6).reshape(2, 3).t(),
        "bfloat16": torch.ones(3, dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 3),
        "meta": {
            "float": np.float64(3.5),
            "float32": np.float32(0.5),
            "int": np.int64(-7),
            "bool": np.bool_(True),
            "text": np.str_("hi"),
            "array": np.arange(6).reshape(2, 3),
            "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "big endian": np.arange(3, dtype=">i4"),
            "words": np.array(["a", "bcd"]),
            "bytes": b"\x00\xff",
            "bytearray": bytearray(b"\x01"),
            "set": {1, 2},
            "frozenset": frozenset({3}),
            "complex": 1 + 2j,
            "dtype": torch.float16,
            "size": torch.Size((2, 3)),
            "counter": Counter("aab"),
            "ordered": OrderedDict(a=1),
            "default": defaultdict(list, a=[1]),
            "large": 2**70,
            "none": None,
            "tuple": (1, (2.5, "x")),
        },
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_our_reader_gives_what_torch_gives(zipped: bool, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(sample(), path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    expected = torch.load(path, weights_only=False)
    result = read_checkpoint(path)
    assert list(result) == list(expected)
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(result[key], value) and result[key].dtype == value.dtype, key
            assert result[key].stride() == value.stride() and not result[key].requires_grad, key
    for key, value in expected["state_dict"].items():
        assert torch.equal(result["state_dict"][key], value)
    assert result["view"].data_ptr() == result["base"].data_ptr() + 8  # shared storages stay shared
    for key, value in expected["meta"].items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(result["meta"][key], value)
            assert result["meta"][key].dtype == value.dtype.newbyteorder("=")
        else:
            assert result["meta"][key] == value, key
    assert all(not isinstance(value, np.generic) for value in result["meta"].values())


def test_the_tar_format_of_the_first_versions(tmp_path: Path) -> None:
    weights = mapping(a=text("2") + b"Q", b=text("4") + b"Q")
    path = write_tar(tmp_path / "resnet.pth", program(weights, 2))
    result = read_checkpoint(path)
    expected = torch.load(path, weights_only=False)
    for key in ("a", "b"):
        assert torch.equal(result[key], expected[key]) and result[key].dtype == torch.float32
    assert result["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and result["b"].tolist() == [3, 5]


def test_names_of_python_2_are_understood(tmp_path: Path) -> None:
    body = mapping(old=called(name("mmcv.utils.config", "ConfigDict")), x=called(name("__builtin__", "set")))
    assert read_checkpoint(write_zip(tmp_path / "x.pth", program(body, 2))) == {"x": set()}


def test_arrays_of_objects_are_dropped(tmp_path: Path) -> None:
    torch.save({"meta": {"a": np.array([{}, None], dtype=object), "b": 1}}, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth") == {"meta": {"b": 1}}


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a.weight": torch.arange(4.0)}, tmp_path / "x.safetensors")
    checkpoint = read_checkpoint(tmp_path / "x.safetensors")
    assert list(checkpoint) == ["a.weight"] and checkpoint["a.weight"].tolist() == [0, 1, 2, 3]
    assert state_dict_of(checkpoint)["a.weight"].dtype == torch.float32


def test_map_location(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "b": [torch.ones(1)]}, tmp_path / "x.pth")
    moved = read_checkpoint(tmp_path / "x.pth", map_location="meta")
    assert moved["a"].device.type == moved["b"][0].device.type == "meta"
    assert read_checkpoint(tmp_path / "x.pth", map_location=None)["a"].device.type == "cpu"
    with pytest.raises(UserError, match="cannot move .* to .*map_location='cpu'"):
        read_checkpoint(tmp_path / "x.pth", map_location="cuda:99")


@pytest.mark.parametrize(
    "wrap", [lambda s: {"state_dict": s, "meta": {}}, lambda s: {"model": s}, lambda s: s]
)
def test_state_dict_of_finds_and_cleans_the_weights(wrap: object) -> None:
    weight = nn.Parameter(torch.ones(1))
    saved = {
        "module.backbone.weight": weight,
        "_orig_mod.head.weight": weight,
        "module._orig_mod.neck._orig_mod.weight": weight,
        "data_preprocessor.mean": weight,
        "version": 3,
        7: weight,
    }
    state_dict = state_dict_of(wrap(saved))  # type: ignore[operator]
    assert list(state_dict) == ["backbone.weight", "head.weight", "neck.weight"]
    assert all(type(v) is torch.Tensor and not v.requires_grad for v in state_dict.values())


def test_a_checkpoint_without_weights_is_refused() -> None:
    with pytest.raises(UserError, match=r"x.pth holds no weights \(it holds: epoch, optimizer\)"):
        state_dict_of({"optimizer": {}, "epoch": 3}, "x.pth")
    with pytest.raises(UserError, match="holds no weights"):
        state_dict_of({})


def test_a_number_that_is_no_tensor_is_not_a_weight(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.pth", program(mapping(state_dict=mapping(a=integer(1)))))
    with pytest.raises(UserError, match="holds no weights"):
        state_dict_of(read_checkpoint(path))
