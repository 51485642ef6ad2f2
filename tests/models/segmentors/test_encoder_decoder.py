from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mmseg.models import NECKS, build_segmentor
from mmseg.utils.errors import UserError
from tests.helpers_models import fcn_head, metas, tiny_segformer


def model_of(**changes: object) -> nn.Module:
    torch.manual_seed(0)
    model = build_segmentor(tiny_segformer(**changes))
    model.init_weights()
    return model


def batch(n: int = 2) -> dict:
    image = torch.randn(n, 3, 64, 96)
    labels = torch.randint(0, 5, (n, 1, 64, 96))
    return {"img": image, "img_metas": metas(image), "gt_semantic_seg": labels}


def aux(index: int) -> dict:
    return fcn_head(in_index=index, in_channels=8 * 2**index, num_classes=5, channels=8)


def test_train_step() -> None:
    model, data = model_of(), batch()
    outputs = model.train_step(data, None)
    assert outputs["num_samples"] == 2
    assert list(outputs["log_vars"]) == ["decode.loss_ce", "decode.acc_seg", "loss"]
    assert all(isinstance(float(v), float) for v in outputs["log_vars"].values())
    assert not any(v.requires_grad for v in outputs["log_vars"].values())
    assert all(p.grad is None for p in model.parameters())
    outputs["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_val_step_marks_its_names() -> None:
    assert "decode.loss_ce_val" in model_of().val_step(batch())["log_vars"]


def test_first_weights_of_the_classifiers_of_several_auxiliary_heads() -> None:
    normal = {"type": "Normal", "std": 0.01, "override": {"name": "conv_seg"}}
    alone = model_of(auxiliary_head=aux(1)).auxiliary_head
    first, second = model_of(auxiliary_head=[aux(1), aux(1) | {"init_cfg": normal}]).auxiliary_head
    for head in (alone, second):  # N(0, 0.01)
        assert head.conv_seg.weight.std() < 0.015 and not head.conv_seg.bias.any()
    assert first.conv_seg.weight.std() > 0.1 and first.conv_seg.bias.all()  # uniform up to 1 / sqrt(8)


def test_one_auxiliary_head_and_several() -> None:
    one = model_of(auxiliary_head=aux(2))
    assert one.with_auxiliary_head
    assert "auxiliary_head.convs.0.conv.weight" in one.state_dict()
    losses = one(**batch())
    assert set(losses) == {"decode.loss_ce", "decode.acc_seg", "aux.loss_ce", "aux.acc_seg"}
    several = model_of(auxiliary_head=[aux(1), aux(2)])
    assert "auxiliary_head.1.convs.0.conv.weight" in several.state_dict()
    losses = several(**batch())
    assert {n for n in losses if "loss" in n} == {"decode.loss_ce", "aux_0.loss_ce", "aux_1.loss_ce"}
    loss, log_vars = several.parse_losses(losses)
    torch.testing.assert_close(loss, sum(v for n, v in losses.items() if "loss" in n))
    assert log_vars["loss"] == loss


def test_parse_losses_averages_and_sums() -> None:
    losses = {"a.loss": torch.tensor([1.0, 3.0]), "b.loss": [torch.tensor(4.0), torch.ones(2)], "acc": 1}
    losses["acc"] = torch.tensor([50.0])
    loss, log_vars = model_of().parse_losses(losses)
    assert loss.item() == 7
    assert {n: v.item() for n, v in log_vars.items()} == {"a.loss": 2, "b.loss": 5, "acc": 50, "loss": 7}
    with pytest.raises(UserError, match="is float"):
        model_of().parse_losses({"a.loss": 1.0})
    with pytest.raises(UserError, match="must contain 'loss'"):
        model_of().parse_losses({"acc": torch.ones(1)})


def test_a_neck_stands_between_backbone_and_heads() -> None:
    @NECKS.register_module("TestOnlyNeck", force=True)
    class TestOnlyNeck(nn.Module):
        def forward(self, feats: list[torch.Tensor]) -> list[torch.Tensor]:
            return [2 * f for f in feats]

    try:
        plain, necked = model_of().eval(), model_of(neck={"type": "TestOnlyNeck"}).eval()
    finally:
        del NECKS.module_dict["TestOnlyNeck"]
    assert (plain.with_neck, necked.with_neck) == (False, True)
    image = batch()["img"]
    torch.testing.assert_close(necked.extract_feat(image)[0], 2 * plain.extract_feat(image)[0])


def test_exact_reaches_every_part() -> None:
    model = model_of()
    assert not model.exact
    assert not model.decode_head.exact
    model.exact = True
    assert model.decode_head.exact
    assert build_segmentor(tiny_segformer(exact=True)).decode_head.exact
    head = {**tiny_segformer()["decode_head"], "exact": True}
    assert build_segmentor(tiny_segformer(decode_head=head)).decode_head.exact


def test_logits_have_the_size_of_the_input() -> None:
    model, image = model_of().eval(), torch.randn(2, 3, 65, 99)
    assert model.encode_decode(image, metas(image)).shape == (2, 5, 65, 99)
    torch.testing.assert_close(model.forward_dummy(image), model.encode_decode(image, None))


def test_attributes() -> None:
    model = model_of()
    assert (model.num_classes, model.align_corners) == (5, False)
    assert (model.CLASSES, model.PALETTE) == (None, None)
    assert (model.with_neck, model.with_auxiliary_head, model.with_decode_head) == (False, False, True)


def test_builds_without_memory_for_weights() -> None:
    with torch.device("meta"):
        model = build_segmentor(tiny_segformer(auxiliary_head=[aux(1)])).eval()
        assert model.forward_dummy(torch.randn(1, 3, 64, 64)).shape == (1, 5, 64, 64)


def test_autocast_trains(repo_root: Path) -> None:
    model, data = model_of(), batch()
    single = model.train_step(data)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.train_step(data)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(single.item(), rel=0.02)
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_pretrained_is_handed_to_the_backbone(tmp_path: Path) -> None:
    source = model_of()
    path = str(tmp_path / "backbone.pth")
    torch.save(source.backbone.state_dict(), path)
    torch.manual_seed(9)
    model = build_segmentor(tiny_segformer(pretrained=path))
    model.init_weights()
    torch.testing.assert_close(model.backbone.state_dict(), source.backbone.state_dict(), rtol=0, atol=0)
    assert not torch.equal(model.decode_head.conv_seg.weight, source.decode_head.conv_seg.weight)
    backbone = {**tiny_segformer()["backbone"], "pretrained": path}
    with pytest.raises(UserError, match="`pretrained` stands both"):
        build_segmentor(tiny_segformer(pretrained=path, backbone=backbone))


def test_a_checkpoint_with_other_classes_gives_all_but_the_classifier(tmp_path: Path) -> None:
    source, path = model_of(), str(tmp_path / "whole.pth")
    torch.save({"state_dict": source.state_dict()}, path)
    head = {**tiny_segformer()["decode_head"], "num_classes": 11}
    init_cfg = {"type": "Pretrained", "checkpoint": path}
    model = build_segmentor(tiny_segformer(decode_head=head, init_cfg=init_cfg))
    model.init_weights()
    assert torch.equal(model.decode_head.fusion_conv.conv.weight, source.decode_head.fusion_conv.conv.weight)
    assert torch.equal(model.backbone.layers[0][2].weight, source.backbone.layers[0][2].weight)
    assert model.decode_head.conv_seg.weight.std().item() == pytest.approx(0.01, rel=0.3)


def test_show_result_writes_the_picture_and_the_label_map(tmp_path: Path) -> None:
    model = model_of()
    model.PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]
    image = np.full((6, 8, 3), 100, np.uint8)
    label = np.zeros((6, 8), np.int64)
    label[:, 4:] = 1
    out, grey = tmp_path / "new" / "a.png", tmp_path / "gray" / "a.png"
    picture = model.show_result(image, [label], opacity=0.5, out_file=str(out), grey_out=str(grey))
    assert picture[0, 0].tolist() == [50, 50, 50]
    assert picture[0, 7].tolist() == pytest.approx([50, 50, 178], abs=1)  # red, as BGR
    assert np.array_equal(cv2.imread(str(out)), picture)
    assert np.array_equal(cv2.imread(str(grey), cv2.IMREAD_UNCHANGED), label)
    model.show_result(image, label, out_file=str(out), gray_out=True)
    assert np.array_equal(cv2.imread(str(out.parent / "gray" / "a.png"), cv2.IMREAD_UNCHANGED), label)
    path = str(tmp_path / "image.png")
    cv2.imwrite(path, image)
    green = model.show_result(path, label, palette=[[0, 255, 0]] * 5, opacity=1.0)
    assert (green == [0, 255, 0]).all()


def test_show_result_names_mistakes(tmp_path: Path) -> None:
    model, label = model_of(), np.zeros((4, 4), np.int64)
    with pytest.raises(UserError, match="missing or is no image"):
        model.show_result(str(tmp_path / "no.png"), label)
    with pytest.raises(UserError, match="size"):
        model.show_result(np.zeros((5, 4, 3), np.uint8), label)
    with pytest.raises(UserError, match="out_file"):
        model.show_result(np.zeros((4, 4, 3), np.uint8), label, grey_out=True)
