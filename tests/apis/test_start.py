"""From the weights of one data set to a run on another, with other classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmseg.apis import init_segmentor
from mmseg.apis.start import start_from
from mmseg.core.evaluation import get_classes
from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import read_checkpoint, save_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_log import Lines
from tests.helpers_run import run_tool_here, tiny_config, tiny_model, write_config, write_dataset
from tests.helpers_server import serving

CITYSCAPES = list(get_classes("cityscapes"))
CAMVID = [
    "sky",
    "building",
    "pole",
    "road",
    "sidewalk",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
]
COMMON = {label: CITYSCAPES.index(name) for label, name in enumerate(CAMVID) if name in CITYSCAPES}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def settings(classes: int) -> dict[str, Any]:
    """A model with two auxiliary heads."""
    aux = dict(type="FCNHead", channels=8, num_convs=1, concat_input=False, num_classes=classes)
    aux["loss_decode"] = dict(type="CrossEntropyLoss", loss_weight=0.4)
    heads = [dict(aux, in_channels=16, in_index=1), dict(aux, in_channels=32, in_index=2)]
    return tiny_model(num_classes=classes) | dict(auxiliary_head=heads)


def write_run(root: Path, name: str, classes: list[str], **sections: Any) -> Path:
    """A config over ``classes`` whose steps change nothing: the weights stay as they were at the start."""
    config = tiny_config(root / "data", max_iters=2, model=settings(len(classes)), **sections)
    config["optimizer"] = dict(type="SGD", lr=0.0)
    for split in ("train", "val", "test"):
        config["data"][split] |= dict(classes=classes, palette=[[i, i, i] for i in range(len(classes))])
    return write_config(root / f"{name}.py", config)


def trained(root: Path, config: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[dict, str]:
    """Run tools/train.py; returns the weights afterwards and the log."""
    work = root / f"work_{config.stem}"
    run_tool_here(
        "train", config, "--work-dir", work, "--seed", 3, "--no-validate", *more, monkeypatch=monkeypatch
    )
    log = "".join(path.read_text() for path in work.glob("*.log"))
    return read_checkpoint(work / "latest.pth")["state_dict"], log


CLASSIFIERS = [
    f"{head}.conv_seg.{kind}"
    for head in ("decode_head", "auxiliary_head.0", "auxiliary_head.1")
    for kind in ("weight", "bias")
]


def test_from_nineteen_classes_to_eleven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "data", train=4, val=2)
    cityscapes, _ = trained(tmp_path, write_run(tmp_path, "city", CITYSCAPES), monkeypatch)
    fresh, _ = trained(tmp_path, write_run(tmp_path, "fresh", CAMVID), monkeypatch)
    content = (tmp_path / "work_city" / "latest.pth").read_bytes()
    with serving(files={"/city.pth": content}) as server:
        source = f"{server.url}/city.pth"
        weights, log = trained(
            tmp_path, write_run(tmp_path, "plain", CAMVID), monkeypatch, "--load-from", source
        )
        matched, log_matched = trained(
            tmp_path,
            write_run(tmp_path, "matched", CAMVID, transfer_classes=True, load_from=source),
            monkeypatch,
        )
        assert len(server.requests) == 1

    assert list(weights) == list(cityscapes) == list(matched)
    for name, value in weights.items():
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            continue  # move in training, whatever the learning rate
        assert torch.equal(value, (fresh if name in CLASSIFIERS else cityscapes)[name]), name
    assert (
        f"{source} has 19 classes, the model 11: the classifier (conv_seg) starts anew in decode_head,"
        " auxiliary_head.0, auxiliary_head.1" in log
    )
    assert f"loaded {len(weights) - 6} of {len(weights)} tensors from {source}" in log
    assert "does not fit" not in log

    assert len(COMMON) == 7
    for name in CLASSIFIERS:
        for label in range(len(CAMVID)):
            row = cityscapes[name][COMMON[label]] if label in COMMON else fresh[name][label]
            assert torch.equal(matched[name][label], row), (name, label)
    assert (
        f"transfer_classes: 7 of 11 classes start from those of {source}: sky, building, pole," in log_matched
    )
    assert "; anew: tree, sign, pedestrian, bicyclist" in log_matched
    assert "starts anew in" not in log_matched


def model_and_checkpoint(tmp_path: Path, meta: dict[str, Any] | None) -> tuple[nn.Module, str, dict]:
    source = build_segmentor(settings(3))
    path = str(tmp_path / "a.pth")
    save_checkpoint({"state_dict": source.state_dict(), "meta": meta}, path)
    return build_segmentor(settings(3)), path, source.state_dict()


def test_pairs_of_names_and_another_order(tmp_path: Path) -> None:
    log = Lines()
    model, path, theirs = model_and_checkpoint(tmp_path, {"CLASSES": ["person", "road", "sky"]})
    model = nn.DataParallel(model)
    before = model.module.decode_head.conv_seg.bias.detach().clone()
    start_from(model, path, ["road", "pedestrian", "tree"], {"pedestrian": "person"})
    bias, old = model.module.decode_head.conv_seg.bias, theirs["decode_head.conv_seg.bias"]
    assert torch.equal(bias, torch.stack([old[1], old[0], before[2]]))
    assert log.messages[0] == (
        f"transfer_classes: 2 of 3 classes start from those of {path}: road, pedestrian (there person);"
        " anew: tree"
    )


def test_other_classes_of_the_same_number_are_told(tmp_path: Path) -> None:
    said = Lines().messages
    model, path, theirs = model_and_checkpoint(tmp_path, {"CLASSES": ["person", "road", "sky"]})
    start_from(model, path, ["person", "tree", "sky"])
    assert torch.equal(model.decode_head.conv_seg.bias, theirs["decode_head.conv_seg.bias"])
    assert len(said) == 2 and "its class 1 is 'road', the data set's 'tree'" in said[0]
    start_from(model, path, ["person", "road", "sky"])
    assert len(said) == 3 and said[2] == said[1]


def test_a_checkpoint_without_names_cannot_be_matched(tmp_path: Path) -> None:
    model, path, _ = model_and_checkpoint(tmp_path, None)
    with pytest.raises(UserError, match="transfer_classes needs the class names of .*a.pth, which has none"):
        start_from(model, path, ["a", "b", "c"], True)


def test_testing_and_inference_take_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(write_dataset(tmp_path / "data", train=2, val=2))
    source = build_segmentor(config["model"])
    save_checkpoint(
        {"state_dict": source.state_dict(), "meta": {"CLASSES": ["left", "middle", "right"]}},
        tmp_path / "a.pth",
    )
    path = write_config(tmp_path / "config.py", config)
    with serving(files={"/a.pth": (tmp_path / "a.pth").read_bytes()}) as server:
        model = init_segmentor(str(path), f"{server.url}/a.pth", device="cpu")
        assert torch.equal(model.decode_head.conv_seg.weight, source.decode_head.conv_seg.weight)
        run_tool_here("test", path, f"{server.url}/a.pth", "--eval", "mIoU", monkeypatch=monkeypatch)
        assert len(server.requests) == 1
        with pytest.raises(SystemExit) as caught:
            run_tool_here("test", path, f"{server.url}/b.pth", "--eval", "mIoU", monkeypatch=monkeypatch)
    output = capsys.readouterr()
    assert "mIoU" in output.out + output.err and caught.value.code == 2
    assert (
        f"error: {server.url}/b.pth: the server has no such file (404); correct the address\n" in output.err
    )
