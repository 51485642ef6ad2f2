from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmseg.config import Config
from mmseg.models import SEGMENTORS, EncoderDecoder, build_segmentor, revert_sync_batchnorm
from mmseg.models.losses import channel_wise_divergence
from mmseg.utils.errors import UserError
from tests.helpers_distillation import distiller_config, saved_teacher, student_config, teacher_config
from tests.helpers_models import metas
from tests.helpers_run import REPO
from tests.helpers_train import log_lines

FEATURE = {"student_layer": "decode_head.convs.0", "teacher_layer": "decode_head.convs.1", "weight": 50}
MAP = {"student_layer": "backbone[3]", "teacher_layer": "backbone[-1]", "tau": 1}
LOGITS = {"student_layer": "decode_head.conv_seg", "teacher_layer": "decode_head.conv_seg"}


def built(config: dict[str, Any], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = revert_sync_batchnorm(build_segmentor(config))
    model.init_weights()
    return model


def batch(size: int = 64) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(5)
    img = torch.randn(2, 3, size, size, generator=generator)
    label = torch.randint(0, 5, (2, 1, size, size), generator=generator)
    return {"img": img, "img_metas": metas(img), "gt_semantic_seg": label}


def no_chance(model: nn.Module) -> nn.Module:
    """Switch dropout and stochastic depth off, leaving the model in training mode."""
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d) or type(module).__name__ == "DropPath":
            module.eval()
    return model


def test_the_student_is_what_there_is(tmp_path: Path) -> None:
    model, alone = built(distiller_config(tmp_path)), built(student_config())
    assert isinstance(model, EncoderDecoder)
    assert list(model.state_dict()) == list(alone.state_dict())
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in alone.named_parameters()]
    for name, value in alone.state_dict().items():  # it starts as it would alone
        assert torch.equal(model.state_dict()[name], value), name
    assert torch.equal(torch.rand(3), (built(student_config()), torch.rand(3))[1])
    data = batch()
    assert torch.equal(model.eval().encode_decode(data["img"]), alone.eval().encode_decode(data["img"]))
    assert model.num_classes == 5 and model.test_cfg == {"mode": "whole"}


def test_the_loss_is_the_divergence_of_the_logits(tmp_path: Path) -> None:
    model = no_chance(built(distiller_config(tmp_path, {"tau": 2.0, "weight": 5.0})).train())
    data = batch()
    losses = model(**data)
    assert set(losses) == {
        "decode.loss_ce", "decode.acc_seg", "aux.loss_ce", "aux.acc_seg", "distill.loss_cwd",
    }  # fmt: skip
    teacher = build_segmentor(teacher_config())
    teacher.load_state_dict(torch.load(tmp_path / "teacher.pth", weights_only=True)["state_dict"])
    teacher = revert_sync_batchnorm(teacher).eval()
    theirs = teacher.decode_head(teacher.extract_feat(data["img"]))
    ours = no_chance(built(student_config()).train())
    ours = ours.decode_head(ours.extract_feat(data["img"]))
    expected = 5 * channel_wise_divergence(ours, theirs, 2.0)
    torch.testing.assert_close(losses["distill.loss_cwd"], expected)
    loss, log_vars = model.parse_losses(losses)
    parts = [value for name, value in log_vars.items() if "loss_" in name]
    assert len(parts) == 3
    torch.testing.assert_close(loss.detach(), sum(parts))


def test_the_teacher_has_no_part_in_anything_but_the_loss(tmp_path: Path) -> None:
    model = built(distiller_config(tmp_path, LOGITS, FEATURE)).train()
    teacher = model.teacher.model
    before = copy.deepcopy(teacher.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model.train_step(batch())["loss"].backward()
        optimizer.step()
    model.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    for name, value in teacher.state_dict().items():
        assert torch.equal(before[name], value), name
    mine = {id(x) for x in [*model.parameters(), *model.buffers(), *model.modules()]}
    assert not mine & {id(x) for x in [*teacher.parameters(), *teacher.buffers(), *teacher.modules()]}


@pytest.mark.parametrize(
    "pair",
    [{}, *(pytest.param(p, marks=pytest.mark.slow) for p in ({"tau": 1.0}, {**FEATURE, "weight": 3}, MAP))],
)
def test_the_divergence_falls(tmp_path: Path, pair: dict[str, Any]) -> None:
    model = no_chance(built(distiller_config(tmp_path, pair)).train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    data, values = batch(), []
    for _ in range(12):
        loss = model(**data)["distill.loss_cwd"]
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] < 0.8 * values[0], values


def test_maps_of_other_channels_and_sizes(tmp_path: Path) -> None:
    with log_lines() as lines:
        model = no_chance(built(distiller_config(tmp_path, LOGITS, FEATURE, MAP)).train())
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name.startswith("align")}
    assert shapes == {
        "align.1.weight": (24, 16, 1, 1),
        "align.1.bias": (24,),
        "align.2.weight": (128, 64, 1, 1),
        "align.2.bias": (128,),
    }
    assert sum("1x1 convolution" in line for line in lines) == 2
    data, seen = batch(), {}
    model.decode_head.convs[0].register_forward_hook(lambda m, i, o: seen.setdefault("ours", o))
    model.teacher.model.decode_head.convs[1].register_forward_hook(
        lambda m, i, o: seen.setdefault("theirs", o)
    )
    losses = model(**data)
    assert {n for n in losses if "cwd" in n} == {f"distill_{i}.loss_cwd" for i in range(3)}
    assert seen["ours"].shape[2:] == (16, 16) and seen["theirs"].shape[2:] == (8, 8)
    ours = F.interpolate(model.align["1"](seen["ours"]), (8, 8), mode="bilinear", align_corners=False)
    expected = 50 * channel_wise_divergence(ours, seen["theirs"])
    torch.testing.assert_close(losses["distill_1.loss_cwd"], expected)
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.align.parameters())


def test_the_convolutions_between_are_no_part_of_the_student(tmp_path: Path) -> None:
    model, alone = built(distiller_config(tmp_path, FEATURE)), built(student_config())
    assert list(model.state_dict()) == list(alone.state_dict())
    for name, value in alone.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert model.load_state_dict(alone.state_dict()) and alone.load_state_dict(model.state_dict())
    saved = copy.deepcopy(model.training_state())
    assert set(saved) == {"align.0.weight", "align.0.bias"}
    other = built(distiller_config(tmp_path, FEATURE), seed=1)
    other.load_training_state(saved)
    assert torch.equal(other.align["0"].weight, model.align["0"].weight)
    with pytest.raises(UserError, match="other convolutions"):
        built(distiller_config(tmp_path)).load_training_state(saved)


def test_validation_losses_are_those_of_the_student(tmp_path: Path) -> None:
    model = built(distiller_config(tmp_path)).eval()
    assert set(model(**batch())) == {"decode.loss_ce", "decode.acc_seg", "aux.loss_ce", "aux.acc_seg"}


def test_a_copy_distills_on_its_own(tmp_path: Path) -> None:
    model = no_chance(built(distiller_config(tmp_path, FEATURE)).train())
    data = batch()
    before = model(**data)["distill.loss_cwd"]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.decode_head.convs[0].conv.weight.normal_()
    assert twin(**data)["distill.loss_cwd"] != before
    torch.testing.assert_close(model(**data)["distill.loss_cwd"], before)


def test_half_precision_compares_in_float32(tmp_path: Path) -> None:
    model = built(distiller_config(tmp_path, LOGITS, FEATURE)).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(**batch())
    assert losses["distill_0.loss_cwd"].dtype == losses["distill_1.loss_cwd"].dtype == torch.float32


def test_channels_last_gives_the_same(tmp_path: Path) -> None:
    values = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = no_chance(built(distiller_config(tmp_path, LOGITS, FEATURE)).train()).to(memory_format=layout)
        data = batch()
        data["img"] = data["img"].contiguous(memory_format=layout)
        values.append(model.train_step(data)["loss"])
    torch.testing.assert_close(*values)


def test_a_path_that_passes_a_layer_by(tmp_path: Path) -> None:
    pair = {"student_layer": "decode_head.fusion_conv", "teacher_layer": "decode_head.fusion_conv"}
    with pytest.raises(UserError, match=r"`decode_head.fusion_conv` does not run.*model.exact=True"):
        build_segmentor(distiller_config(tmp_path, pair))
    model = built(distiller_config(tmp_path, pair, exact=True)).train()
    assert model.exact and model.teacher.model.exact and model(**batch())["distill.loss_cwd"] > 0


def test_models_from_files_wherever_the_command_is_given(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = "configs/segformer/segformer_mit-b0_toy.py"
    model = Config.fromfile(REPO / path).model.to_dict()
    saved = saved_teacher(tmp_path, model)
    Config({"model": {**model, "test_cfg": None}, "test_cfg": {"mode": "whole"}}).dump("student.py")
    config = {"type": "ChannelWiseDistiller", "teacher": {"cfg": path, "checkpoint": "teacher.pth"}}
    for student in ("student.py", {"cfg": "student.py"}, {"cfg": path}, {"cfg": model}, model):
        built_model = build_segmentor({**config, "student": student})
        assert built_model.num_classes == 19 and built_model.test_cfg["mode"] == "whole"
    built_model.teacher.load()
    weights = torch.load(saved["checkpoint"], weights_only=True)["state_dict"]
    assert all(torch.equal(weights[n], v) for n, v in built_model.teacher.model.state_dict().items())


def test_testing_needs_no_weights_of_the_teacher(tmp_path: Path) -> None:
    teacher = {"cfg": teacher_config(), "checkpoint": str(tmp_path / "gone.pth")}
    config = distiller_config(tmp_path, FEATURE, teacher=teacher, pretrained=None)
    model = revert_sync_batchnorm(build_segmentor({**config, "train_cfg": None})).eval()
    image = torch.randn(1, 3, 64, 64)
    assert model.forward_test(image, metas(image))[0].shape == (64, 64)
    with pytest.raises(UserError, match=r"model.teacher: there is no checkpoint .*gone.pth"):
        model.train()(**batch())
    with pytest.raises(UserError, match=r"model.teacher: there is no checkpoint .*gone.pth"):
        model.init_weights()


def test_a_student_may_become_a_teacher(tmp_path: Path) -> None:
    first = distiller_config(tmp_path)
    trained = built(first)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "second.pth")
    second = built(
        distiller_config(tmp_path, teacher={"cfg": first, "checkpoint": str(tmp_path / "second.pth")})
    )
    assert second.teacher.model.teacher.model is None
    assert second.train()(**batch())["distill.loss_cwd"].item() == pytest.approx(0, abs=0.1)


MISTAKES = [
    ({"distillation": [{"student_layer": "decode_head.conv_sec"}]}, "no layer.*decode_head.conv_seg"),
    ({"distillation": [{"teacher_layer": "backbone.layer4"}]}, "teacher has no layer `backbone.layer4`"),
    ({"distillation": [{"teacher_layer": "nothing"}]}, r"`nothing` \(it has: backbone, decode_head\)"),
    ({"distillation": [{"student_layer": "backbone"}]}, r"gives 4 maps; choose one, such as `backbone\[0\]`"),
    ({"distillation": [{"student_layer": "backbone[4]"}]}, "gives 4 maps"),
    ({"distillation": [{"student_layer": "decode_head.convs.0[1]"}]}, "gives one map; leave out the index"),
    ({"distillation": [{"student_layer": "backbone.layers.0.2"}]}, r"gives a tensor \(1, 1024, 8\); a map"),
    ({"distillation": [{"student_layer": "decode_head.loss_decode"}]}, "does not run"),
    ({"distillation": [{"student_lay": "backbone"}]}, "did you mean.*student_layer"),
    ({"distillation": [{"tau": 0}]}, "tau must be positive"),
    ({"distillation": []}, "list of dictionaries"),
    ({"student": {"cgf": "a.py"}}, "did you mean.*cfg"),
    ({"student": {"cfg": 3}}, "model.student.cfg is the path"),
    ({"student": {"cfg": "configs/segformer/segformer_mit-b0_toi.py"}}, "did you mean.*b0_toy.py"),
    ({"student": {"cfg": "configs/default_runtime.py"}}, "does not exist"),
    ({"student": "configs/_base_/default_runtime.py"}, "has no `model`"),
    ({"student": {**student_config(), "backbone": {"type": "ResNot"}}}, "ResNot"),
    ({"student": {**student_config(), "necc": {}}}, "did you mean.*neck"),
    ({"teacher": teacher_config()}, "the teacher needs its weights"),
    ({"teacher": {"cfg": teacher_config()}}, "needs `checkpoint`"),
    ({"teacher": {"cfg": teacher_config(), "checkpoint": None}}, "path of the teacher's weights"),
    ({"teacher": {"cfg": teacher_config(), "checkpoint": "x", "weights": 1}}, "no argument `weights`"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        build_segmentor({**distiller_config(tmp_path), **changes})


def test_a_student_that_is_no_encoder_decoder(tmp_path: Path) -> None:
    config = distiller_config(tmp_path)
    with pytest.raises(UserError, match="EncoderDecoder, not a ChannelWiseDistiller"):
        build_segmentor({**config, "student": {"cfg": config}})


def test_weights_of_another_teacher(tmp_path: Path) -> None:
    model = build_segmentor(distiller_config(tmp_path))
    torch.save({"state_dict": build_segmentor(student_config()).state_dict()}, tmp_path / "teacher.pth")
    with pytest.raises(UserError, match="model.teacher: .*teacher.pth"):
        model.init_weights()


class Counts(nn.Module):
    """A layer that looks at a number, which the meta device does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.limit = torch.linspace(0, 1, 3)[1].item()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * float(x.sum() >= -self.limit)


def test_a_model_that_needs_numbers_to_be_built_and_run(tmp_path: Path) -> None:
    class Plain(EncoderDecoder):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.stem = nn.Sequential(Counts(), nn.Conv2d(6, 3, 1))

        def extract_feat(self, img: torch.Tensor) -> Any:
            return super().extract_feat(self.stem(img))

    SEGMENTORS.register_module(name="PlainTeacher", module=Plain, force=True)
    teacher = saved_teacher(tmp_path, {**teacher_config(), "type": "PlainTeacher"})
    pair = {"student_layer": "backbone[0]", "teacher_layer": "stem.0"}
    try:
        model = built(distiller_config(tmp_path, pair, teacher=teacher)).train()
        assert tuple(model.align["0"].weight.shape) == (6, 8, 1, 1)
        assert model(**batch())["distill.loss_cwd"] > 0
    finally:
        del SEGMENTORS.module_dict["PlainTeacher"]
