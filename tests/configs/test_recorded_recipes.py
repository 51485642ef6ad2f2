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
        "basicnet_8x1_1024x1024_1000e_kitti",
        "basicnet_8x1_1024x1024_180e_kitti",
        "deeplabv3plus_r101-d8_512x1024_40k_kitti",
        "deeplabv3plus_r18-d8_512x1024_80k_cityscapes",
        "deeplabv3plus_r18-d8_512x1024_80k_kitti",
        "deeplabv3plus_r50-d8_512x1024_40k_kitti",
        "fcn_unet_s5-d16_4x4_512x1024_160k_kitti",
        "pspnet_r101-d8_512x1024_20k_kitti",
        "pspnet_r18-d8_512x1024_20k_kitti",
        "pspnet_r18-d8_512x1024_80k_cityscapes",
        "pspnet_r50-d8_512x1024_20k_kitti",
        "pspnet_r50-d8_512x1024_80k_kitti",
        "segformer_mit-b0_8x1_1024x1024_160k_cityscapes",
        "segformer_mit-b0_8x1_1024x1024_160k_kitti",
        "segformer_mit-b2_8x1_1024x1024_160k_kitti",
        "segformer_mit-b3_8x1_1024x1024_160k_kitti",
        "segformer_mit-b5_8x1_1024x1024_160k_kitti",
        "segformer_swin_1x8_1024x1024_20k_kitti",
        "segformer_swin_4x2_1024x1024_160k_cityscapes",
        "segformer_swin_4x2_1024x1024_160k_kitti",
    ]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_equals_the_recorded_recipe(recorded: Path) -> None:
    record = json.loads(recorded.read_text())
    config = plain(Config.fromfile(ROOT / record["path"])._cfg_dict)
    expected = without_entity(record["config"])
    assert sorted(config) == sorted(expected)
    for name, value in expected.items():
        assert config[name] == value, name


# Historic name -> the file it stands for, whose name is true.
HISTORIC = {
    "basicNet/basicnet_8x1_1024x1024_180e_kitti": "basicnet_kitti_512x375_180e",
    "basicNet/basicnet_8x1_1024x1024_1000e_kitti": "basicnet_kitti_512x375_1000e",
    "deeplabv3plus/deeplabv3plus_r18-d8_512x1024_80k_kitti": "deeplabv3plus_r18-d8_kitti_368x368_80k",
    "deeplabv3plus/deeplabv3plus_r50-d8_512x1024_40k_kitti": "deeplabv3plus_r50-d8_kitti_368x368_40k",
    "deeplabv3plus/deeplabv3plus_r101-d8_512x1024_40k_kitti": "deeplabv3plus_r101-d8_kitti_368x368_40k",
    "pspnet/pspnet_r18-d8_512x1024_20k_kitti": "pspnet_r18-d8_kitti_368x368_20k",
    "pspnet/pspnet_r50-d8_512x1024_20k_kitti": "pspnet_r50-d8_kitti_368x368_20k",
    "pspnet/pspnet_r50-d8_512x1024_80k_kitti": "pspnet_r50-d8_kitti_368x368_80k",
    "pspnet/pspnet_r101-d8_512x1024_20k_kitti": "pspnet_r101-d8_kitti_368x368_20k",
    "segformer/segformer_mit-b0_8x1_1024x1024_160k_kitti": "segformer_mit-b0_kitti_368x368_10k",
    "segformer/segformer_mit-b2_8x1_1024x1024_160k_kitti": "segformer_mit-b2_kitti_368x368_20k",
    "segformer/segformer_mit-b3_8x1_1024x1024_160k_kitti": "segformer_mit-b3_kitti_368x368_20k",
    "segformer/segformer_mit-b5_8x1_1024x1024_160k_kitti": "segformer_mit-b5_kitti_368x368_20k",
    "segformer/segformer_swin_1x8_1024x1024_20k_kitti": "segformer_swin-t_kitti_368x368_10k",
    "segformer/segformer_swin_4x2_1024x1024_160k_kitti": "segformer_swin-t_kitti_368x368_20k",
    "segformer/segformer_swin_4x2_1024x1024_160k_cityscapes": "segformer_swin-t_cityscapes_1024x1024_160k",
    "unet/fcn_unet_s5-d16_4x4_512x1024_160k_kitti": "fcn_unet_s5-d16_kitti_368x368_160k",
    **{
        f"segformer/segformer_mit-b{i}_8x1_1024x1024_160k_cityscapes": (
            f"segformer_mit-b{i}_cityscapes_1024x1024_160k"
        )
        for i in range(6)
    },
}


@pytest.mark.parametrize("historic", HISTORIC)
def test_a_historic_name_is_two_lines(historic: str) -> None:
    text = (ROOT / "configs" / f"{historic}.py").read_text()
    comment, base = text.splitlines()
    assert comment.startswith("# Historic name")
    assert base == f'_base_ = "./{HISTORIC[historic]}.py"'


def test_all_historic_names_are_known() -> None:
    folder = ROOT / "configs"
    found = {
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.rglob("*.py")
        if "Historic name" in path.read_text()
    }
    assert found == set(HISTORIC)


@pytest.mark.parametrize(
    "path",
    [
        # The commands of the report's README.
        "segformer/segformer_mit-b0_8x1_1024x1024_160k_kitti.py",
        "segformer/segformer_mit-b2_8x1_1024x1024_160k_kitti.py",
        "segformer/segformer_mit-b5_8x1_1024x1024_160k_kitti.py",
        "basicNet/basicnet_8x1_1024x1024_180e_kitti.py",
        "basicNet/basicnet_8x1_1024x1024_1000e_kitti.py",
        "unet/fcn_unet_s5-d16_4x4_512x1024_160k_kitti.py",
        "deeplabv3plus/deeplabv3plus_r101-d8_512x1024_40k_kitti.py",
        "segformer/segformer_swin_4x2_1024x1024_160k_kitti.py",
        "_base_/datasets/kitti_seg_basic.py",
    ],
)
def test_published_commands_find_their_configs(path: str) -> None:
    assert len(Config.fromfile(ROOT / "configs" / path)) > 5
