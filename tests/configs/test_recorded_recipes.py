"""The recipes equal those recorded with MMSegmentation 0.25, value for value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmseg.config import Config

ROOT = Path(__file__).resolve().parents[2]
RECORDED = sorted((ROOT / "tests/data/configs").glob("*.json"))


def plain(value: Any) -> Any:
    """Return ``value`` with plain dictionaries, and lists for tuples."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def without_entity(config: dict[str, Any]) -> dict[str, Any]:
    """Drop the W&B account from recorded logging hooks: no account stands in our configs."""
    for name in ("log_config", "customized_log_config"):
        for hook in config.get(name, {}).get("hooks", []):
            hook.get("init_kwargs", {}).pop("entity", None)
    return config


def test_all_recorded_recipes_are_here() -> None:
    assert [path.stem for path in RECORDED] == [
        "segformer_mit-b0_8x1_1024x1024_160k_cityscapes",
        "segformer_mit-b0_8x1_1024x1024_160k_kitti",
        "segformer_mit-b2_8x1_1024x1024_160k_kitti",
        "segformer_mit-b3_8x1_1024x1024_160k_kitti",
        "segformer_mit-b5_8x1_1024x1024_160k_kitti",
    ]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_equals_the_recorded_recipe(recorded: Path) -> None:
    record = json.loads(recorded.read_text())
    config = plain(Config.fromfile(ROOT / record["path"])._cfg_dict)
    expected = without_entity(record["config"])
    assert sorted(config) == sorted(expected)
    for name, value in expected.items():
        assert config[name] == value, name


@pytest.mark.parametrize("size, iterations", [("b0", "10k"), ("b2", "20k"), ("b3", "20k"), ("b5", "20k")])
def test_true_and_historic_names_are_one_recipe(size: str, iterations: str) -> None:
    folder = ROOT / "configs/segformer"
    true = Config.fromfile(folder / f"segformer_mit-{size}_kitti_368x368_{iterations}.py")
    historic = Config.fromfile(folder / f"segformer_mit-{size}_8x1_1024x1024_160k_kitti.py")
    assert plain(true._cfg_dict) == plain(historic._cfg_dict)
    assert true.runner.max_iters == int(iterations[:-1]) * 1000
    crops = [t["crop_size"] for t in true.train_pipeline if t["type"] == "RandomCrop"]
    assert crops == [(368, 368)]
