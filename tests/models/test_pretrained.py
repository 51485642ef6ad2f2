"""``init_cfg`` and ``pretrained``: weights of a path, an address or a name reach the backbone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from mmseg.models import build_backbone, build_segmentor
from mmseg.models.module import BaseModule
from mmseg.utils.downloads import cache_dir
from mmseg.utils.errors import UserError
from tests.helpers_log import Lines
from tests.helpers_run import tiny_model
from tests.helpers_server import serving

R18 = dict(type="ResNet", depth=18)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def published() -> torch.nn.Module:
    """A torchvision ResNet-18, with its file in the cache as if it had been downloaded."""
    model = torchvision.models.resnet18().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    weights = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    cache_dir().mkdir(parents=True)
    torch.save(weights, cache_dir() / "resnet18-f37072fd.pth", _use_new_zipfile_serialization=False)
    return model


def features(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """What torchvision's ResNet gives before it pools."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(image))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


@pytest.mark.parametrize(
    "setting",
    [
        dict(pretrained="torchvision://resnet18"),
        dict(init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet18")),
    ],
)
def test_torchvision_s_file_is_a_resnet(published: torch.nn.Module, setting: dict[str, Any]) -> None:
    log = Lines()
    backbone = build_backbone({**R18, **setting}).eval()
    backbone.init_weights()
    image = torch.randn(1, 3, 64, 64)
    assert torch.allclose(backbone(image)[-1], features(published, image), atol=1e-5)
    assert log.messages == [
        "torchvision://resnet18: left out fc.weight, fc.bias, which ResNet has no place for (it tells classes"
        " of whole images apart)",
        "loaded 100 of 120 tensors from torchvision://resnet18",  # the others count batches
    ]


def test_pretrained_of_a_segmentor_is_its_backbone_s(published: torch.nn.Module) -> None:
    head = dict(type="FCNHead", in_channels=512, in_index=3, channels=8, num_classes=3, num_convs=1)
    settings = dict(
        type="EncoderDecoder", backbone=R18, decode_head=head, pretrained="torchvision://resnet18"
    )
    model = build_segmentor(settings)
    assert not torch.equal(model.backbone.conv1.weight, published.conv1.weight)  # building reads nothing
    model.init_weights()
    assert torch.equal(model.backbone.conv1.weight, published.conv1.weight)
    with pytest.raises(UserError, match="`pretrained` stands both in `model` and in `model.backbone`"):
        build_segmentor({**settings, "backbone": dict(R18, pretrained="x.pth")})


def test_weights_come_over_the_network(tmp_path: Path) -> None:
    source = build_segmentor(tiny_model())
    torch.save({"state_dict": source.state_dict()}, tmp_path / "net.pth")
    content = (tmp_path / "net.pth").read_bytes()
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    with serving(files={f"/{name}": content}) as server:
        backbone = dict(
            tiny_model()["backbone"],
            init_cfg=dict(type="Pretrained", checkpoint=f"{server.url}/{name}", prefix="backbone"),
        )
        for _ in range(2):
            model = build_segmentor(tiny_model() | dict(backbone=backbone))
            model.init_weights()
            for own, theirs in zip(model.backbone.parameters(), source.backbone.parameters(), strict=True):
                assert torch.equal(own, theirs)
        assert len(server.requests) == 1


def test_a_download_that_fails_is_one_line() -> None:
    with serving() as server:
        backbone = build_backbone({**R18, "pretrained": f"{server.url}/resnet18.pth"})
        with pytest.raises(UserError, match="resnet18.pth: the server has no such file"):
            backbone.init_weights()


class Renamed(BaseModule):
    """A module that knows its weights under another name."""

    def __init__(self, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.conv = torch.nn.Conv2d(3, 4, 1)

    def adapt_pretrained(self, weights: dict[str, torch.Tensor], source: str) -> dict[str, torch.Tensor]:
        return {f"conv.{name.removeprefix('proj.')}": value for name, value in weights.items()}


def test_a_class_may_adapt_what_it_is_given(tmp_path: Path) -> None:
    weights = {"proj.weight": torch.randn(4, 3, 1, 1), "proj.bias": torch.randn(4)}
    torch.save({"model": weights}, tmp_path / "x.pth")
    module = Renamed(dict(type="Pretrained", checkpoint=str(tmp_path / "x.pth")))
    module.init_weights()
    assert torch.equal(module.conv.weight, weights["proj.weight"])


def test_a_file_of_another_network_is_refused_though_it_has_a_classifier(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2), "features.0.weight": torch.zeros(3)}, tmp_path / "x.pth")
    backbone = build_backbone({**R18, "pretrained": str(tmp_path / "x.pth")})
    with pytest.raises(UserError, match="is a checkpoint of another model"):
        backbone.init_weights()
