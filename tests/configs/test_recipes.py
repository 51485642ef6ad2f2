"""The ladder of recipes: each step differs from the one before by its switch and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmseg.config import Config
from mmseg.engine import build_lr_schedule, build_optimizer
from mmseg.models import build_segmentor

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "recipes"
LADDERS = ("segformer_mit-b2_kitti", "segformer_mit-b0_toy")
WARMUP = ("warmup", "warmup_iters", "warmup_ratio")
STEPS = {  # step: (the step before, its switch)
    "step1_transfer": ("step0", {"load_from"}),
    "step2_poly": (
        "step1_transfer",
        {f"lr_config.{key}" for key in ("policy", "power", "min_lr", *WARMUP)},
    ),
    "step3_class_balanced": ("step2_poly", {"model.decode_head.loss_decode.class_weight"}),
    "step4_ohem": ("step3_class_balanced", {"model.decode_head.sampler"}),
    "step4_ohem_as_reported": ("step3_class_balanced", {"model.decode_head.sampler"}),
    "step5_multi_scale": (
        "step4_ohem",
        {
            "train_pipeline",
            "test_pipeline",
            *(f"data.{split}.pipeline" for split in ("train", "val", "test")),
        },
    ),
    "step6_auxiliary": ("step5_multi_scale", {"model.auxiliary_head"}),
}


def step_file(ladder: str, step: str) -> Path:
    (path,) = (
        sorted(FOLDER.glob(f"{ladder}_{step}*.py")) if step == "step0" else [FOLDER / f"{ladder}_{step}.py"]
    )
    return path


def load(ladder: str, step: str) -> Config:
    return Config.fromfile(step_file(ladder, step))


def differences(old: Any, new: Any, key: str = "") -> set[str]:
    """The dotted keys at which two configs differ; what only one of them has is named as a whole."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return set() if old == new else {key}
    found = set()
    for name in {*old, *new}:
        path = f"{key}.{name}" if key else name
        found |= differences(old[name], new[name], path) if name in old and name in new else {path}
    return found


def transform(pipeline: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    return next((t for t in pipeline if t["type"] == kind), None)


def test_there_are_no_other_steps() -> None:
    expected = {step_file(ladder, step).name for ladder in LADDERS for step in ("step0", *STEPS)}
    assert {path.name for path in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_one_switch(ladder: str, step: str) -> None:
    before, switch = STEPS[step]
    found = differences(load(ladder, before)._cfg_dict, load(ladder, step)._cfg_dict)
    if ladder == "segformer_mit-b0_toy" and step == "step3_class_balanced":
        switch = {*switch, "class_weight"}  # the list itself; KITTI's stands in a base
    assert found == switch


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("step", STEPS)
def test_a_file_states_only_its_switch(ladder: str, step: str) -> None:
    text = step_file(ladder, step).read_text()
    assert f'_base_ = "./{step_file(ladder, STEPS[step][0]).name}"' in text
    code = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(code) <= 30


@pytest.mark.parametrize("ladder", LADDERS)
def test_multi_scale_changes_sizes_only(ladder: str) -> None:
    old, new = load(ladder, "step4_ohem"), load(ladder, "step5_multi_scale")
    scales = transform(new.train_pipeline, "Resize")["img_scale"]
    assert len(scales) > 1 and transform(new.train_pipeline, "Resize")["multiscale_mode"] == "value"
    rest = [[t for t in config.train_pipeline if t["type"] not in ("Resize", "Pad")] for config in (old, new)]
    assert rest[0] == rest[1]
    before, after = old.test_pipeline[1], new.test_pipeline[1]
    assert differences(before, after) == {"img_ratios", "flip"}
    assert not before["flip"] and not before.get("img_ratios")
    assert after["flip"] and len(after["img_ratios"]) > 1
    for split in ("val", "test"):
        assert new.data[split].pipeline == new.test_pipeline
    assert new.data.train.pipeline == new.train_pipeline


def test_the_ladder_ends_at_the_recipe_of_b2() -> None:
    recipe = Config.fromfile(ROOT / "configs/segformer/segformer_mit-b2_kitti_368x368_20k.py")
    last = load("segformer_mit-b2_kitti", "step6_auxiliary")
    assert differences(recipe._cfg_dict, last._cfg_dict) == {"load_from", "class_weight"}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("step4_ohem", {"type": "OHEMPixelSampler", "min_kept": 100000}),
        ("step4_ohem_as_reported", {"type": "OHEMPixelSampler", "thresh": 0.5, "min_kept": 10000}),
    ],
)
def test_both_settings_of_ohem_are_there(step: str, expected: dict[str, Any]) -> None:
    assert load("segformer_mit-b2_kitti", step).model.decode_head.sampler == expected


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("step", ["step0", *STEPS])
def test_a_step_builds(ladder: str, step: str) -> None:
    config = load(ladder, step)
    with torch.device("meta"):
        model = build_segmentor(config.model)
    head = model.decode_head
    assert (head.sampler is None) == (step < "step4")
    assert (head.loss_decode.class_weight is None) == (step < "step3")
    assert model.with_auxiliary_head == (step == "step6_auxiliary")
    optimizer = build_optimizer(torch.nn.ModuleDict({"decode_head": torch.nn.Linear(1, 1)}), config.optimizer)
    schedule = build_lr_schedule(dict(config.lr_config), optimizer, config.runner.max_iters)
    rates = []
    for i in (0, config.runner.max_iters // 2, config.runner.max_iters - 1):
        schedule.step(i)
        rates.append(optimizer.param_groups[0]["lr"])
    if step < "step2":
        assert rates == [rates[0]] * 3
    else:
        assert rates[0] < rates[2] < rates[1]
