"""Names of published weights become the addresses that they have always meant."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from safetensors.torch import save

from mmseg.utils import downloads
from mmseg.utils.downloads import hash_in, local_file
from mmseg.utils.errors import UserError
from mmseg.utils.weight_names import OPEN_MMLAB, open_mmlab_url, timm_source, torchvision_url
from tests.helpers_server import serving
from tests.utils.test_downloads import child_environment


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18_v1c", "resnet18_v1c-b5776b93.pth"),
        ("resnet50_v1c", "resnet50_v1c-2cccc1ad.pth"),
        ("resnet101_v1c", "resnet101_v1c-e67eebb6.pth"),
    ],
)
def test_open_mmlab(name: str, file: str) -> None:
    assert open_mmlab_url(name) == f"https://download.openmmlab.com/pretrain/third_party/{file}"


def test_every_open_mmlab_file_has_its_hash() -> None:
    assert all(hash_in(url.rpartition("/")[2]) for url in OPEN_MMLAB.values())
    assert len(set(OPEN_MMLAB.values())) == len(OPEN_MMLAB)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18", "resnet18-f37072fd.pth"),
        ("resnet50", "resnet50-0676ba61.pth"),  # V1, which the name meant before there was a V2
        ("ResNet50", "resnet50-0676ba61.pth"),
        ("resnet50.imagenet1k_v2", "resnet50-11ad3fa6.pth"),
        ("resnet50.DEFAULT", "resnet50-11ad3fa6.pth"),
        ("resnet101", "resnet101-63fe2227.pth"),
    ],
)
def test_torchvision(name: str, file: str) -> None:
    assert torchvision_url(name) == f"https://download.pytorch.org/models/{file}"


def test_timm() -> None:
    assert timm_source("resnet50.a1_in1k") == ("timm/resnet50.a1_in1k", None)
    assert timm_source("resnet50") == timm_source("resnet50.a1_in1k")  # timm's own choice


def test_timm_weights_that_only_have_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(custom_load=False, hf_hub_id=None, url="https://example.org/x-0676ba61.pth")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: entry)
    monkeypatch.setattr(downloads, "cached", lambda url: Path("/cache") / url.rpartition("/")[2])
    assert local_file("timm://x") == "/cache/x-0676ba61.pth"
    entry.url = None
    with pytest.raises(UserError, match="timm://x: timm has no weights of `x`"):
        local_file("timm://x")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("open-mmlab://resnet50_v1e", "open-mmlab://resnet50_v1e is not known; did you mean `resnet50_v1c`"),
        ("torchvision://resnet51", "torchvision has no model `resnet51`; did you mean `resnet50`"),
        ("torchvision://resnet50.v3", "`resnet50` has the weights imagenet1k_v1, imagenet1k_v2, and no `v3`"),
        ("timm://resnett50", "timm has no model `resnett50`; did you mean `resnet50`"),
        ("timm://resnet50.x", "timm has resnet50.a1_in1k, "),
        ("timm://flexivit_base.300ep_in1k", "weights in a format of their own; use TIMMBackbone"),
        ("mmcls://resnet50", "mmcls://resnet50: addresses begin with https://"),
    ],
)
def test_unknown_names(address: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        local_file(address)
    assert words in str(caught.value) and "\n" not in str(caught.value)


TIMM = "from mmseg.utils.downloads import local_file; print(local_file('timm://resnet50.a1_in1k'))"
REPOSITORY = "/timm/resnet50.a1_in1k/resolve/main/"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_timm_s_files_come_from_the_hub_once(name: str, tmp_path: Path) -> None:
    content = save({"conv1.weight": torch.zeros(3)})
    with serving(files={REPOSITORY + name: content}, headers={"X-Repo-Commit": "a" * 40}) as server:
        server.missing_headers = {"X-Error-Code": "EntryNotFound"}
        env = child_environment(
            HF_ENDPOINT=server.url,
            HF_HOME=str(tmp_path),
            HF_HUB_OFFLINE="0",
            no_proxy="*",
            HF_HUB_DISABLE_XET="1",
        )
        del env["HF_HUB_OFFLINE"]
        done = subprocess.run([sys.executable, "-c", TIMM], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        path = Path(done.stdout.strip().splitlines()[-1])
        assert (
            path.name == name
            and hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
        )
    env["HF_HUB_OFFLINE"] = "1"
    again = subprocess.run([sys.executable, "-c", TIMM], env=env, capture_output=True, text=True)
    assert again.stdout == done.stdout, again.stderr


def test_the_hub_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def refuse(*args: object, **kwargs: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot find it.\nCheck your connection.")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(UserError) as caught:
        local_file("timm://resnet50.a1_in1k")
    assert str(caught.value).startswith(
        "cannot get timm/resnet50.a1_in1k from the Hugging Face hub: Cannot find it. Check your connection;"
    )
