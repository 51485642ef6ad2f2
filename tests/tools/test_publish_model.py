"""tools/publish_model.py: what is kept, what the name says, what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from mmseg.apis import init_segmentor
from mmseg.apis.publish import publish_checkpoint
from mmseg.utils.checkpoint import read_checkpoint
from tests.helpers_export import config_of, tiny, with_weights
from tests.helpers_run import CLASSES, PALETTE, REPO, run_tool_here, tiny_config, write_config, write_dataset

OLD = REPO / "tests" / "data" / "checkpoints"


@pytest.fixture
def run_file(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """What a run leaves, and its weights."""
    weights = with_weights(config_of(tiny("SegFormer"))).state_dict()
    meta = dict(
        CLASSES=CLASSES, PALETTE=PALETTE, config="model = dict()\n", mmseg_version="1", iter=7, epoch=1
    )
    moments = {i: dict(exp_avg=torch.zeros(20000)) for i in range(3)}
    checkpoint = dict(
        meta={**meta, "seed": 3, "hostname": "here"},
        state_dict=weights,
        optimizer=dict(state=moments, param_groups=[]),
        schedule={},
        ema=dict(weights=weights),
        best=None,
    )
    torch.save(checkpoint, tmp_path / "iter_7.pth")
    return tmp_path / "iter_7.pth", weights


def test_what_is_kept(run_file: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    source, weights = run_file
    target = tmp_path / "out" / "b0.pth"
    run_tool_here("publish_model", source, target, "--safetensors", monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    files = sorted(target.parent.iterdir())
    names = sorted(re.sub(r"-[0-9a-f]{8}\.", "-HASH.", file.name) for file in files)
    assert names == ["b0-HASH.pth", "b0-HASH.safetensors"]
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest()[:8] == file.stem[-8:]
        held = read_checkpoint(file)
        tensors = held["state_dict"] if file.suffix == ".pth" else held
        assert tensors.keys() == weights.keys()
        assert all(torch.equal(tensors[k], weights[k]) for k in weights)
    (pth,) = (f for f in files if f.suffix == ".pth")
    (safe,) = (f for f in files if f.suffix == ".safetensors")
    held = torch.load(pth, weights_only=True)
    assert list(held) == ["meta", "state_dict"]
    assert list(held["meta"]) == ["CLASSES", "PALETTE", "config", "mmseg_version", "iter", "epoch"]
    assert list(held["meta"]["CLASSES"]) == list(CLASSES) and held["meta"]["config"] == "model = dict()\n"
    with safe_open(safe, framework="pt") as file:
        about = file.metadata()
    assert json.loads(about["CLASSES"]) == list(CLASSES) and about["config"] == "model = dict()\n"
    assert "left out: optimizer, schedule, ema" in printed
    sizes = [float(s) for s in re.findall(r"([\d.]+) MB", printed)]
    assert len(sizes) == 3 and sizes[1] < sizes[0]


def test_the_name_follows_from_the_content(run_file: Any, tmp_path: Path) -> None:
    first = publish_checkpoint(str(run_file[0]), str(tmp_path / "a"))
    again = publish_checkpoint(first.paths[0], str(tmp_path / "b.pth"))
    assert Path(first.paths[0]).name[1:] == Path(again.paths[0]).name[1:]
    assert again.dropped == () and again.meta["iter"] == 7
    safe = publish_checkpoint(str(run_file[0]), str(tmp_path / "c"), safetensors=True).paths[1]
    back = publish_checkpoint(safe, str(tmp_path / "d"))
    assert back.meta["CLASSES"] == list(CLASSES) and back.meta["iter"] == 7


@pytest.mark.parametrize("name", ["mmseg_0.25.pth", "mmseg_1.x.pth"])
def test_checkpoints_of_mmsegmentation(name: str, tmp_path: Path) -> None:
    done = publish_checkpoint(str(OLD / name), str(tmp_path / "old.pth"))
    section = json.loads((OLD / "model.json").read_text())
    section = section.get("model", section)
    model = init_segmentor(config_of(section), done.paths[0], device="cpu")
    expected = init_segmentor(config_of(section), str(OLD / name), device="cpu").state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    assert set(torch.load(done.paths[0], weights_only=True)) == {"meta", "state_dict"}
    assert done.meta["CLASSES"] and done.meta["config"]


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_the_test_tool_takes_it(
    ending: str, run_file: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    config = write_config(tmp_path / "tiny.py", tiny_config(write_dataset(tmp_path / "data", 1, 2)))
    done = publish_checkpoint(str(run_file[0]), str(tmp_path / "b0"), safetensors=True)
    (path,) = (p for p in done.paths if p.endswith(ending))
    run_tool_here(
        "test", config, path, "--eval", "mIoU", "--work-dir", tmp_path / "w", monkeypatch=monkeypatch
    )
    assert "middle" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.pth", "a.pth"), "there is no checkpoint none.pth"),
        (("text.pth", "a.pth"), "is broken, or no checkpoint of PyTorch"),
        (("empty.pth", "a.pth"), "holds no weights"),
        (("iter_7.pth", "."), "OUT . is a folder; give a name in it"),
        (("iter_7.pth", "text.pth/a.pth"), "cannot write text.pth/a.pth"),
    ],
)
def test_mistakes(
    arguments: tuple[str, str], message: str, run_file: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("no checkpoint")
    torch.save({"meta": {}}, "empty.pth")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stopped:
        run_tool_here("publish_model", *arguments, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and message in error and len(error.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
