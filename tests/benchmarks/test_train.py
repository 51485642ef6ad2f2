from __future__ import annotations

import argparse
from typing import Any

import pytest
import torch

from benchmarks import bench_train, train_loader, train_worker
from benchmarks.harness.report import Table
from benchmarks.harness.timing import Timing
from benchmarks.train_models import MARKED, ROWS, loss_of, ours
from mmseg.config import Config
from mmseg.utils.errors import UserError


def arguments(**settings: Any) -> argparse.Namespace:
    defaults = {"rows": None, "sizes": None, "dtypes": None, "compile": False, "quick": False, "batch": 4}
    return argparse.Namespace(**{**defaults, "device": "cpu", "rounds": 1, "no_equal": False, **settings})


def test_every_row_has_its_config_and_its_marks() -> None:
    for name, row in ROWS.items():
        cfg = Config.fromfile(str(train_loader.ROOT / "configs" / row.config))
        assert cfg.model.decode_head.num_classes == 19, name
        assert set(row.nearest) <= {label for label, *_ in row.peers}, name
    assert set(MARKED) == {"segformer-b0", "deeplabv3plus-r18", "pspnet-r18", "unet"}


def test_ours_has_plain_cross_entropy_and_no_auxiliary_head() -> None:
    model = ours("segformer-b0")
    assert not model.with_auxiliary_head and model.decode_head.sampler is None
    assert model.decode_head.loss_decode.class_weight is None
    assert ours("pspnet-r18", auxiliary=True).with_auxiliary_head


def test_ours_and_a_plain_model_have_the_same_loss() -> None:
    torch.manual_seed(0)
    model = ours("segformer-b0").eval()
    image, label = train_worker.random_batch(2, [64, 64], torch.device("cpu"))
    plain = loss_of("smp")(lambda x: model.encode_decode(x), image, label)
    torch.testing.assert_close(loss_of("ours")(model, image, label), plain)


def test_cost_is_that_of_the_batch() -> None:
    image, label = train_worker.random_batch(2, [64, 64], torch.device("cpu"))
    task = {"row": "segformer-b0", "contestant": "ours", "dtype": "fp32"}
    small, large = (train_worker.cost_of({**task, "batch": n}, image, label) for n in (2, 4))
    assert large["gflop"] == pytest.approx(2 * small["gflop"])
    assert small["mparam"] == pytest.approx(3.720, abs=1e-3)
    # 93 GFLOP are multiply-adds of a batch of 4 at 384x384: about 36 times this batch's area, with backward.
    assert small["gflop"] * 72 == pytest.approx(198, rel=0.1)


def test_defaults_of_a_cpu() -> None:
    args = arguments()
    bench_train.settle(args)
    assert args.rows == list(MARKED) and args.sizes == [[384, 384]] and args.dtypes == ["fp32"]
    assert args.bare and not args.compile


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": ["segfromer"]}, "there is no segfromer"),
        ({"sizes": ["384"], "rows": ["x"]}, "there is no x"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bench_train.settle(arguments(**settings))


def test_sizes_are_numbers() -> None:
    with pytest.raises(UserError, match="HxW"):
        bench_train.settle(arguments(sizes=["widexhigh"]))


def test_marks_are_against_the_nearest_peer() -> None:
    facts = {"gflop": 100.0, "gbyte": 0.1}
    timings = {
        "ours": Timing("ours", (1.0,), (5,), facts),
        "smp, resnet18d": Timing("smp, resnet18d", (2.0,), (6,), {**facts, "gflop": 50.0}),
        "smp, resnet18": Timing("smp, resnet18", (1.5,), (4,), facts),
    }
    table, args = Table("steps", bench_train.COLUMNS), arguments(quick=True)
    bench_train.add(table, args, timings, ("pspnet-r18", "64x64", "fp32", False), equal=False)
    (mark,) = table.rows[0]["marks"]
    assert mark["value"] == 2.0 and mark["goal"] == 1.1 and mark["reached"]
    per_gflop = {row["name"]: row["value"] for row in table.rows if row.get("unit") == "x"}
    assert per_gflop["smp, resnet18d: ours is faster per GFLOP by"] == 4.0


@pytest.mark.slow
def test_the_share_of_waiting_is_a_share() -> None:
    table = train_loader.loader_share("cpu", quick=True)
    waits = [row["value"] for row in table.rows if row["unit"] == "%"]
    assert len(waits) == 1 and 0 <= waits[0] <= 100
