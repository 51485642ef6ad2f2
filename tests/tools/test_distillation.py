"""Channel-wise distillation as users run it: train, test with either config, resume, several processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmseg.apis import init_segmentor
from mmseg.config import Config
from mmseg.models import build_segmentor
from tests.helpers_run import run_tool_here as run
from tests.helpers_run import tiny_config, tiny_model, write_config, write_dataset
from tests.helpers_train import new_trainer, records, same, train
from tests.tools.test_dist_train import one_step_config, shell
from tests.tools.test_train_tool import failure

FEATURE = {"student_layer": "backbone[1]", "teacher_layer": "backbone[1]", "tau": 1, "weight": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: Any) -> Path:
    return write_dataset(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: Any) -> dict[str, Any]:
    """A teacher with random weights, in files."""
    folder = tmp_path_factory.mktemp("teacher")
    settings = tiny_model(channels=24, in_channels=[12, 24, 48, 96])
    settings["backbone"]["embed_dims"] = 12
    torch.manual_seed(4)
    model = build_segmentor(settings)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=0.5)
    torch.save({"state_dict": model.state_dict()}, folder / "teacher.pth")
    write_config(folder / "teacher.py", {"model": settings})
    return {"cfg": str(folder / "teacher.py"), "checkpoint": str(folder / "teacher.pth")}


def cwd_config(
    root: Path, teacher: dict[str, Any], *pairs: dict[str, Any], **sections: Any
) -> dict[str, Any]:
    config = tiny_config(root, **sections)
    config["model"] = {
        "type": "ChannelWiseDistiller",
        "student": {"cfg": config["model"]},
        "teacher": dict(teacher),
        "distillation": list(pairs) or [{}],
    }
    return config


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def scores_of(work_dir: Path) -> dict[str, float]:
    (path,) = work_dir.glob("eval_single_scale_*.json")
    return json.loads(path.read_text())["metric"]


def test_train_then_test_with_either_config(root, teacher, tmp_path, monkeypatch):
    before = Path(teacher["checkpoint"]).read_bytes()
    config = cwd_config(root, teacher, {"tau": 2}, FEATURE, max_iters=4, checkpoint_config={"interval": 2})
    config["evaluation"] = {"interval": 2, "metric": "mIoU", "val_loss": True, "save_best": "mIoU"}
    cwd = write_config(tmp_path / "cwd.py", config)
    work_dir = tmp_path / "run"
    run("train", cwd, "--work-dir", work_dir, "--seed", 0, monkeypatch=monkeypatch)
    logged = records(work_dir, "train")[-1]
    parts = ["decode.loss_ce", "distill_0.loss_cwd", "distill_1.loss_cwd"]
    assert sum(logged[name] for name in parts) == pytest.approx(logged["loss"], rel=1e-3)
    validated = records(work_dir, "val")[-1]
    assert validated["loss"] == pytest.approx(validated["decode.loss_ce"])

    alone = tiny_config(root)
    assert list(weights_of(work_dir / "iter_4.pth")) == list(build_segmentor(alone["model"]).state_dict())
    own = write_config(tmp_path / "student.py", alone)
    scores = []
    for name, path in (("cwd", cwd), ("student", own), ("dumped", work_dir / "cwd.py")):
        out = tmp_path / name
        run(
            "test",
            path,
            work_dir / "iter_4.pth",
            "--eval",
            "mIoU",
            "--work-dir",
            out,
            monkeypatch=monkeypatch,
        )
        scores.append(scores_of(out))
    assert scores[0] == scores[1] == scores[2]
    assert init_segmentor(str(cwd), str(work_dir / "iter_4.pth"), "cpu").num_classes == 3
    assert Path(teacher["checkpoint"]).read_bytes() == before


AVERAGED = {"ema": {"momentum": 0.1}, "optimizer_config": {"cumulative_iters": 3}}


@pytest.mark.parametrize("extra", [{}, pytest.param(AVERAGED, marks=pytest.mark.slow)])
def test_a_resumed_run_is_the_same_to_the_bit(root, teacher, tmp_path, monkeypatch, extra):
    config = cwd_config(root, teacher, {}, FEATURE, max_iters=6, checkpoint_config={"interval": 2}, **extra)
    path, whole, parts = write_config(tmp_path / "c.py", config), tmp_path / "whole", tmp_path / "parts"
    common = ("--seed", 0, "--no-validate")
    run("train", path, "--work-dir", whole, *common, monkeypatch=monkeypatch)
    run(
        "train",
        path,
        "--work-dir",
        parts,
        "--resume-from",
        whole / "iter_4.pth",
        *common,
        monkeypatch=monkeypatch,
    )
    ours, theirs = (torch.load(d / "iter_6.pth", weights_only=True) for d in (parts, whole))
    assert set(theirs["hooks"]["model"]) == {"align.1.weight", "align.1.bias"}
    assert not torch.equal(
        theirs["hooks"]["model"]["align.1.weight"],
        torch.load(whole / "iter_2.pth", weights_only=True)["hooks"]["model"]["align.1.weight"],
    )
    for key in ("state_dict", "optimizer", "ema", "hooks"):
        assert same(ours[key], theirs[key]), key


def test_it_starts_as_the_student_alone_and_the_teacher_stays(root, teacher, tmp_path):
    trainer = new_trainer(cwd_config(root, teacher, {}, FEATURE, ema={"momentum": 0.1}), tmp_path)
    alone = new_trainer(tiny_config(root), tmp_path)
    assert same(dict(trainer.model.state_dict()), dict(alone.model.state_dict()))
    names = [n for g in trainer.optimizer.param_groups for n in g["param_names"]]
    assert set(names) - {n for n, _ in alone.model.named_parameters()} == {"align.1.weight", "align.1.bias"}
    trainer.run()
    saved = weights_of(Path(teacher["checkpoint"]))
    assert same({**trainer.model.teacher.model.state_dict()}, dict(saved))
    assert set(trainer.ema.weights) <= set(alone.model.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_parts_give_the_same(root, teacher, tmp_path, backend):
    trained = []
    for i, settings in enumerate((None, {"backend": backend})):
        config = cwd_config(root, teacher, {}, FEATURE, max_iters=3, compile=settings)
        config["model"]["student"]["cfg"]["backbone"]["drop_path_rate"] = 0.0  # other random numbers
        config["model"]["student"]["cfg"]["decode_head"]["dropout_ratio"] = 0.0
        trainer = train(config, tmp_path / str(i))
        assert trainer.compiled is None or trainer.compiled.parts[0]._compiled_call_impl is not None
        trained.append(records(tmp_path / str(i), "train")[-1])
    for name in ("decode.loss_ce", "distill_0.loss_cwd", "distill_1.loss_cwd"):
        assert trained[0][name] == pytest.approx(trained[1][name], rel=1e-3), name


@pytest.mark.slow
def test_two_ranks_step_like_one(root, teacher, tmp_path, monkeypatch):
    paths = []
    for name, batch in (("alone", 4), ("joined", 2)):
        config = one_step_config(root, batch)
        config["data"]["train"]["split"] = str(tmp_path / "four.txt")
        config["model"] = {
            "type": "ChannelWiseDistiller",
            "student": config["model"],
            "teacher": dict(teacher),
            "distillation": [{"weight": 1}, {**FEATURE, "weight": 0.1}],
        }
        paths.append(write_config(tmp_path / f"{name}.py", config))
    (tmp_path / "four.txt").write_text("000\n001\n002\n003\n")
    run("train", paths[0], "--work-dir", tmp_path / "alone", "--no-validate", monkeypatch=monkeypatch)
    done = shell("dist_train.sh", paths[1], 2, "--work-dir", tmp_path / "joined", "--no-validate")
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = (torch.load(tmp_path / d / "latest.pth", weights_only=True) for d in ("joined", "alone"))
    for name, value in theirs["state_dict"].items():
        assert torch.allclose(ours["state_dict"][name].float(), value.float(), atol=1e-5), name
    for name, value in theirs["hooks"]["model"].items():
        assert torch.allclose(ours["hooks"]["model"][name], value, atol=1e-5), name


def test_mistakes_are_one_line(root, teacher, tmp_path, monkeypatch, capsys):
    def line_of(config: dict[str, Any], *args: object) -> str:
        path = write_config(tmp_path / "c.py", config)
        return failure(
            "train", path, "--work-dir", tmp_path / "run", *args, monkeypatch=monkeypatch, capsys=capsys
        )

    absent = str(tmp_path / "absent.pth")
    line = line_of(cwd_config(root, {**teacher, "checkpoint": absent}))
    assert "model.teacher: there is no checkpoint" in line and absent in line
    line = line_of(cwd_config(root, teacher, {"student_layer": "decode_head.conv_sg"}))
    assert "the student has no layer `decode_head.conv_sg`; did you mean `decode_head.conv_seg`" in line
    config = cwd_config(root, teacher)
    config["model"]["student"]["cfg"]["decode_head"]["num_classes"] = 5
    assert "num_classes is 5" in line_of(config)
    line = line_of(cwd_config(root, {**teacher, "cfg": "configs/segformer/segformer_mit-b0_tiy.py"}))
    assert "segformer_mit-b0_tiy.py does not exist; did you mean" in line
    run("train", write_config(tmp_path / "c.py", cwd_config(root, teacher, FEATURE, max_iters=1)),
        "--work-dir", tmp_path / "run", "--no-validate", monkeypatch=monkeypatch)  # fmt: skip
    line = line_of(cwd_config(root, teacher, max_iters=2), "--resume-from", tmp_path / "run" / "latest.pth")
    assert "other convolutions" in line
    assert isinstance(Config.fromfile(tmp_path / "run" / "c.py").model.teacher.checkpoint, str)
