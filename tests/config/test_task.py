from __future__ import annotations

import copy
from typing import Any

import pytest

from mmseg.config import Config, check_config
from mmseg.config.task import apply_task
from mmseg.utils.errors import UserError

CE = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.4}


def config(**changes: Any) -> Config:
    data = {
        "train": {"type": "RepeatDataset", "times": 2, "dataset": {"type": "CustomDataset"}},
        "val": [{"type": "CustomDataset"}, {"type": "CustomDataset"}],
        "test": {"type": "ConcatDataset", "datasets": [{"type": "CustomDataset"}]},
    }
    heads = [{"type": "FCNHead", "loss_decode": [CE, {"type": "LovaszLoss"}]}]
    model = {"decode_head": {"type": "SegformerHead", "loss_decode": dict(CE)}, "auxiliary_head": heads}
    return Config(copy.deepcopy({"task": "binary", "data": data, "model": model, **changes}))


def test_every_data_set_and_head_gets_it() -> None:
    cfg = config()
    check_config(cfg)
    apply_task(cfg)
    once = cfg.pretty_text
    assert cfg.data.train == {
        "type": "RepeatDataset",
        "times": 2,
        "dataset": {"type": "CustomDataset", "task": "binary"},
    }
    assert [d.task for d in (*cfg.data.val, *cfg.data.test.datasets)] == ["binary"] * 3
    aux = cfg.model.auxiliary_head[0]
    for head in (cfg.model.decode_head, aux):
        assert (head.task, head.num_classes) == ("binary", 2)
    assert cfg.model.decode_head.loss_decode == {**CE, "use_sigmoid": True}
    assert [loss.get("use_sigmoid") for loss in aux.loss_decode] == [True, None]
    apply_task(cfg)
    assert cfg.pretty_text == once


def test_without_it_nothing_changes() -> None:
    cfg = config(task=None)
    before = cfg.pretty_text
    apply_task(cfg)
    assert cfg.pretty_text == before


def test_contradictions() -> None:
    with pytest.raises(UserError, match="`task` is 'binary' or left out, not 'two'"):
        apply_task(config(task="two"))
    cfg = config()
    cfg.data.val[1].task = "multi"
    with pytest.raises(UserError, match="'binary' at the top of the config, but 'multi' in data.val.1"):
        apply_task(cfg)
    cfg = config()
    cfg.model.decode_head.num_classes = 19
    apply_task(cfg)
    assert cfg.model.decode_head.num_classes == 19  # which the head refuses


def test_a_slip_is_reported() -> None:
    with pytest.raises(UserError, match="`taks`: did you mean `task`"):
        check_config(Config({"taks": "binary"}))
    check_config(Config({"mask": 1, "tasks": 2}))
