"""mmcv's hooks in ``custom_hooks``."""

from __future__ import annotations

import pytest

from mmseg.engine import HOOKS, Hook
from mmseg.engine.historic_hooks import with_historic_hooks
from mmseg.engine.hooks import build_hooks
from mmseg.utils.errors import UserError
from tests.helpers_train import log_lines


def test_hooks_that_became_sections():
    ema = dict(type="EMAHook", momentum=0.001, interval=2, warm_up=5, resume_from=None, priority=49)
    profiler = dict(type="ProfilerHook", by_epoch=False, profile_iters=3)
    cfg = dict(model=1, custom_hooks=[ema, profiler])
    result = with_historic_hooks(cfg)
    assert result["ema"] == dict(momentum=0.001, interval=2, warm_up=5)
    assert result["profiler_config"] == dict(by_epoch=False, profile_iters=3)
    assert result["custom_hooks"] == [] and result["model"] == 1
    assert cfg["custom_hooks"] == [ema, profiler]


@pytest.mark.parametrize(
    "kind", ["NumClassCheckHook", "EmptyCacheHook", "DistSamplerSeedHook", "SyncBuffersHook"]
)
def test_needless_hooks_are_left_out_with_a_line(kind):
    with log_lines() as lines:
        assert with_historic_hooks(dict(custom_hooks=[dict(type=kind)]))["custom_hooks"] == []
    assert len(lines) == 1 and f"{kind} is left out" in lines[0]


def test_own_hooks_and_objects_stay_in_order():
    @HOOKS.register_module(force=True)
    class Mine(Hook):
        def __init__(self, x: int = 0) -> None:  # forgets the base class
            self.x = x

    thing = Hook()
    hooks = [
        dict(type="Mine", x=1, priority="LOW"),
        dict(type=Mine, x=2),
        thing,
        dict(type="Mine", x=3, priority=10),
    ]
    built = build_hooks(with_historic_hooks(dict(custom_hooks=hooks))["custom_hooks"])
    assert [getattr(h, "x", "thing") for h in built] == [3, 2, "thing", 1]
    assert all(h.state == {} for h in built)


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (dict(custom_hooks=[dict(type="EMAHok")]), "unknown hook `EMAHok`; did you mean `EMAHook`"),
        (dict(custom_hooks=[dict(type="Freeze")]), "custom_hooks.0: unknown hook .*custom_imports"),
        (dict(custom_hooks=[dict(momentum=0.1)]), "custom_hooks.0 must be a dictionary with `type`"),
        (dict(custom_hooks=[dict(type="EMAHook")], ema=True), "is the same as `ema`"),
        (dict(custom_hooks=[dict(type="EMAHook", resume_from="x.pth")]), "--resume-from"),
    ],
)
def test_mistakes_are_named(cfg, words):
    with pytest.raises(UserError, match=words):
        with_historic_hooks(cfg)


def test_an_unknown_priority_is_named():
    HOOKS.register_module(name="Plain", force=True, module=Hook)
    with pytest.raises(UserError, match="priority `NORML`.*did you mean `NORMAL`"):
        build_hooks([dict(type="Plain", priority="NORML")])
