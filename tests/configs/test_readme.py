"""configs/README.md: its files are there, its table is complete, its figures are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from mmseg.config import Config
from mmseg.models import build_segmentor
from tests.configs.test_recorded_recipes import HISTORIC

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs"
TEXT = (FOLDER / "README.md").read_text()
LINKS = re.findall(r"\]\(([^)\s]+)\)", TEXT)
NAMED = re.findall(r"`([\w./+-]+/[\w./+-]+\.py)`", TEXT)
# The first table: name, link, historic name, parameters, FLOPs, latency, mIoU.
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in TEXT.partition("## The same models")[0].splitlines()
    if line.startswith("|")
][2:]
RECORDED = {row["config"]: row for row in json.loads((ROOT / "tests/data/recorded/flops.json").read_text())}


def link_of(cell: str) -> str:
    return re.search(r"\]\((.*)\)", cell)[1]


@pytest.mark.parametrize("link", sorted({link for link in LINKS if "://" not in link}))
def test_link(link: str) -> None:
    assert (FOLDER / link).exists()


@pytest.mark.parametrize("name", sorted(set(NAMED)))
def test_named_file(name: str) -> None:
    assert (FOLDER / name).exists() or (ROOT / name).exists()


def test_link_text_is_the_name_of_the_file() -> None:
    for text, link in re.findall(r"\[([\w.+-]+_[\w.+-]+)\]\(([\w./+-]+\.py)\)", TEXT):
        assert Path(link).stem == text


def test_all_historic_names_are_listed() -> None:
    assert {name.removesuffix(".py") for name in NAMED if not name.startswith("tools/")} == set(HISTORIC)


def test_rows_of_the_table() -> None:
    assert len(ROWS) == 17 and {len(row) for row in ROWS} == {7}
    for row in ROWS:
        if row[2]:
            historic = row[2].strip("`").removesuffix(".py")
            assert f"{Path(historic).parent}/{HISTORIC[historic]}.py" == link_of(row[1])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_figures_of_the_table(row: list[str]) -> None:
    with torch.device("meta"):
        model = build_segmentor(Config.fromfile(FOLDER / link_of(row[1])).model)
    parameters = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("teacher."))
    assert row[3] == f"{parameters / 1e6:.3f} M"
    width = 1248 if "UNet" in row[0] else 1242
    recorded = [r for r in RECORDED.values() if abs(r["params_M"] * 1e6 - parameters) < 1e3]
    assert recorded and {f"{r['fvcore_G']:.3f} G" for r in recorded} == {row[4]}
    assert {r["hw"][1] for r in recorded} == {width}
    for cell in row[5:]:
        assert not cell or re.search(r"\d", cell)
