"""How strictly weights must fit, by what they are loaded for."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from mmseg.utils.checkpoint import load_checkpoint, load_into, save_checkpoint
from mmseg.utils.errors import UserError


class Head(nn.Module):
    def __init__(self, num_classes: int, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)


class Model(nn.Module):
    def __init__(self, num_classes: int = 5, auxiliary: bool = False, channels: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
        self.decode_head = Head(num_classes, channels)
        if auxiliary:
            self.auxiliary_head = Head(num_classes)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "test")
    return caplog


LOGGER = logging.getLogger("test")


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("purpose", ["init", "load_from", "test", "resume"])
def test_what_fits_is_loaded_whole(purpose: str, log: pytest.LogCaptureFixture) -> None:
    source, model = Model(), Model()
    report = load_into(model, source.state_dict(), purpose=purpose, source="a.pth", logger=LOGGER)
    assert equal(values(model), source.state_dict())
    assert len(report.loaded) == len(source.state_dict())
    assert not (report.missing or report.unexpected or report.mismatched or report.num_classes)
    assert [r.levelname for r in log.records] == ["INFO"]


@pytest.mark.parametrize("theirs", [True, False])
def test_auxiliary_heads_may_differ_in_testing_only(theirs: bool, log: pytest.LogCaptureFixture) -> None:
    source, model = Model(auxiliary=theirs), Model(auxiliary=not theirs)
    report = load_into(model, source.state_dict(), purpose="test", source="a.pth", logger=LOGGER)
    assert len(report.unexpected if theirs else report.missing) == 4
    assert torch.equal(model.decode_head.conv_seg.weight, source.decode_head.conv_seg.weight)
    assert "does not fit" not in log.text
    load_into(
        Model(auxiliary=not theirs), source.state_dict(), purpose="load_from", source="a.pth", logger=LOGGER
    )
    assert "auxiliary_head.conv.weight" in log.text
    with pytest.raises(UserError, match="4 (unexpected|missing) .auxiliary_head.conv.weight"):
        load_into(model, source.state_dict(), purpose="resume", source="a.pth", logger=LOGGER)


@pytest.mark.parametrize("purpose", ["test", "resume"])
def test_other_differences_are_refused_with_a_table(purpose: str, log: pytest.LogCaptureFixture) -> None:
    model = Model()
    before = values(model)
    state_dict = Model().state_dict()
    del state_dict["backbone.0.weight"]
    state_dict["neck.weight"] = torch.zeros(1)
    state_dict["decode_head.conv.weight"] = torch.zeros(4, 8, 1, 1)
    with pytest.raises(UserError) as caught:
        load_into(model, state_dict, purpose=purpose, source="a.pth", logger=LOGGER)
    message = str(caught.value)
    assert message == (
        "a.pth does not fit the model: tensors 1 missing (backbone.0.weight); 1 unexpected (neck.weight);"
        " 1 of another shape (decode_head.conv.weight); use the config it was saved with"
    )
    table = log.records[-1].getMessage().splitlines()
    assert any(
        " ".join(row.split()) == "other shape decode_head.conv.weight 4x8x1x1 4x3x1x1" for row in table
    )
    assert any("not in checkpoint  backbone.0.weight" in row for row in table)
    assert equal(values(model), before)  # nothing was copied


@pytest.mark.parametrize("purpose", ["test", "resume"])
def test_another_number_of_classes_is_refused_with_both(purpose: str) -> None:
    with pytest.raises(UserError, match="a.pth was trained for 5 classes, but the model has 2;"):
        load_into(Model(2), Model(5).state_dict(), purpose=purpose, source="a.pth", logger=LOGGER)


@pytest.mark.parametrize("purpose", ["init", "load_from"])
def test_another_number_of_classes_starts_only_the_classifier_anew(
    purpose: str, log: pytest.LogCaptureFixture
) -> None:
    source, model = Model(5, auxiliary=True), Model(2, auxiliary=True)
    before = values(model)
    report = load_into(model, source.state_dict(), purpose=purpose, source="a.pth", logger=LOGGER)
    assert report.num_classes == (5, 2)
    for name, value in model.state_dict().items():
        expected = before[name] if "conv_seg" in name else source.state_dict()[name]
        assert torch.equal(value, expected), name
    assert "a.pth has 5 classes, the model 2: the classifier (conv_seg) starts anew" in log.text


def test_load_from_logs_a_short_table(log: pytest.LogCaptureFixture) -> None:
    state_dict = {f"extra.{i}": torch.zeros(1) for i in range(40)}
    state_dict["backbone.0.weight"] = torch.full((3, 3, 3, 3), 7.0)
    model = Model()
    report = load_into(model, state_dict, purpose="load_from", source="a.pth", logger=LOGGER)
    assert report.loaded == ["backbone.0.weight"] and model.backbone[0].weight[0, 0, 0, 0] == 7
    table = next(
        r.getMessage() for r in log.records if "does not fit the model in every part" in r.getMessage()
    )
    assert len(table.splitlines()) < 20 and "... and " in table


@pytest.mark.parametrize("purpose", ["init", "load_from", "test", "resume"])
def test_a_checkpoint_of_another_model_is_refused(purpose: str) -> None:
    other = {"layer1.weight": torch.zeros(1), "layer2.weight": torch.zeros(2)}
    with pytest.raises(UserError, match="a.pth is a checkpoint of another model: none of its 2 tensors"):
        load_into(Model(), other, purpose=purpose, source="a.pth", logger=LOGGER)


def test_a_segmentor_s_checkpoint_for_a_backbone_gets_a_hint() -> None:
    with pytest.raises(UserError, match="its backbone would fit: add prefix='backbone.'"):
        load_into(Model().backbone, Model().state_dict(), purpose="init", source="a.pth", logger=LOGGER)


def test_0_25_leftovers_do_not_stop_a_test() -> None:
    state_dict = Model().state_dict()
    state_dict["ema_backbone_0_weight"] = torch.zeros(3, 3, 3, 3)
    del state_dict["backbone.1.num_batches_tracked"]  # files of before PyTorch 0.4.1
    model = Model()
    load_into(model, state_dict, purpose="test", source="a.pth", logger=LOGGER)
    assert torch.equal(model.backbone[0].weight, state_dict["backbone.0.weight"])


def test_wrapped_and_compiled_models_take_weights() -> None:
    source = Model()
    wrapped, compiled, inner = nn.DataParallel(Model()), torch.compile(Model()), Model()
    inner.backbone = torch.compile(inner.backbone)
    for model in (wrapped, compiled, inner):
        load_into(model, source.state_dict(), purpose="resume", source="a.pth", logger=LOGGER)
        for mine, theirs in zip(model.state_dict().values(), source.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs)


def test_load_checkpoint_is_strict_on_demand(tmp_path: object) -> None:
    path = f"{tmp_path}/a.pth"
    source = Model(auxiliary=True)
    save_checkpoint({"state_dict": source.state_dict(), "meta": {"iter": 3}}, path)
    model = Model()
    assert load_checkpoint(model, path, logger=LOGGER)["meta"] == {"iter": 3}
    assert torch.equal(model.decode_head.conv.weight, source.decode_head.conv.weight)
    with pytest.raises(UserError, match="a.pth does not fit the model"):
        load_checkpoint(model, path, strict=True, logger=LOGGER)
