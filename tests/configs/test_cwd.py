"""The distillation recipes: a student's own recipe, and a teacher that has one too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmseg.config import Config
from mmseg.models import ChannelWiseDistiller, build_segmentor

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "configs" / "cwd").glob("cwd_*.py"))
# The student's recipe, and the teacher's.
EXPECTED = {
    "cwd_pspnet-r101-to-r18_kitti_368x368_20k.py": (
        "pspnet/pspnet_r18-d8_kitti_368x368_20k.py",
        "pspnet/pspnet_r101-d8_kitti_368x368_20k.py",
    ),
    "cwd_segformer-b5-to-b0_kitti_368x368_10k.py": (
        "segformer/segformer_mit-b0_kitti_368x368_10k.py",
        "segformer/segformer_mit-b5_kitti_368x368_20k.py",
    ),
    "cwd_pspnet-r18-to-slim_toy.py": ("cwd/pspnet-slim_toy.py", "pspnet/pspnet_r18-d8_toy.py"),
    "cwd_segformer-b0-to-slim_toy.py": ("cwd/segformer-slim_toy.py", "segformer/segformer_mit-b0_toy.py"),
}


def test_which_there_are() -> None:
    assert {path.name for path in FILES} == set(EXPECTED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_the_model_differs_from_the_student_s_recipe(path: Path) -> None:
    config, own = Config.fromfile(path), Config.fromfile(ROOT / "configs" / EXPECTED[path.name][0])
    assert config.model.student.cfg == own.model
    assert {**config, "model": None} == {**own, "model": None}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_teacher_is_the_larger_model_of_its_recipe(path: Path) -> None:
    config = Config.fromfile(path)
    teacher = ROOT / config.model.teacher.cfg
    assert teacher == ROOT / "configs" / EXPECTED[path.name][1]
    with torch.device("meta"):
        model, large = build_segmentor(config.model), build_segmentor(Config.fromfile(teacher).model)
    assert isinstance(model, ChannelWiseDistiller) and not model.training_state()
    assert model.num_classes == large.num_classes
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, large)]
    assert 3 * sizes[0] < sizes[1]
    assert [(pair.tau, pair.weight) for pair in model.pairs] == [(4.0, 3.0)]
