"""What every schedule keeps: finite, never below 0, its ends, a pure function of iteration and base."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.engine import build_lr_schedule
from mmseg.engine.schedule import POLICIES
from mmseg.utils.errors import UserError

FLOORS = st.one_of(
    st.builds(lambda v: {"min_lr": v}, st.floats(0, 0.01)),
    st.builds(lambda v: {"min_lr_ratio": v}, st.floats(0, 1)),
)
LOW = st.floats(0, 0.01)
POWER = st.floats(0.05, 5)
GAMMA = st.floats(0, 1)
STRATEGY = st.sampled_from(["cos", "linear"])


@st.composite
def periods(draw: st.DrawFn) -> dict[str, Any]:
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    weights = draw(st.lists(st.floats(0, 2), min_size=len(lengths), max_size=len(lengths)))
    return {"periods": lengths, "restart_weights": weights}


def policy(name: str, *parts: Any, **values: Any) -> Any:
    whole = st.tuples(st.fixed_dictionaries({"policy": st.just(name), **values}), *parts)
    return whole.map(lambda dicts: {key: value for part in dicts for key, value in part.items()})


POLICY = {
    "fixed": policy("fixed"),
    "step": policy("step", step=st.integers(1, 50), gamma=GAMMA, min_lr=st.none() | LOW)
    | policy("step", step=st.lists(st.integers(0, 90), max_size=4), gamma=GAMMA),
    "exp": policy("exp", gamma=GAMMA),
    "inv": policy("inv", gamma=st.floats(0, 5), power=POWER),
    "poly": policy("poly", power=POWER, min_lr=LOW),
    "polyrestart": policy("PolyRestart", periods(), power=POWER, min_lr=LOW),
    "cosineannealing": policy("CosineAnnealing", FLOORS),
    "flatcosineannealing": policy("FlatCosineAnnealing", FLOORS, start_percent=st.floats(0, 1)),
    "cosinerestart": policy("CosineRestart", periods(), FLOORS),
    "linearannealing": policy("LinearAnnealing", FLOORS),
    "cyclic": policy(
        "cyclic",
        target_ratio=st.tuples(st.floats(0, 10), st.floats(0, 1)) | st.floats(0.1, 10),
        cyclic_times=st.integers(1, 5),
        step_ratio_up=st.floats(0, 0.99),
        anneal_strategy=STRATEGY,
        gamma=GAMMA,
    ),
    "onecycle": policy(
        "OneCycle",
        max_lr=st.floats(1e-6, 1),
        pct_start=st.floats(0, 0.99),
        anneal_strategy=STRATEGY,
        div_factor=st.floats(1, 100),
        final_div_factor=st.floats(1, 1e5),
        three_phase=st.booleans(),
    ),
}
WARM_UP = st.fixed_dictionaries(
    {
        "warmup": st.sampled_from(["constant", "linear", "exp"]),
        "warmup_iters": st.integers(1, 120),
        "warmup_ratio": st.floats(0, 1),
    }
)
BASES = st.lists(st.floats(1e-7, 10), min_size=1, max_size=4)


class Run:
    """A schedule on groups of these bases."""

    def __init__(self, config: dict[str, Any], bases: list[float], max_iters: int, **more: Any) -> None:
        self.optimizer = SimpleNamespace(param_groups=[{"lr": base} for base in bases])
        self.schedule = build_lr_schedule(config, self.optimizer, max_iters, **more)

    def at(self, iteration: int) -> list[float]:
        self.schedule.step(iteration)
        return [group["lr"] for group in self.optimizer.param_groups]


def test_every_policy_is_here() -> None:
    assert POLICY.keys() == POLICIES.keys()


@pytest.mark.parametrize("name", POLICY)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_what_every_policy_keeps(name: str, data: st.DataObject) -> None:
    config = data.draw(POLICY[name]) | data.draw(st.just({}) | WARM_UP)
    bases, max_iters = data.draw(BASES), data.draw(st.integers(1, 90))
    run = Run(config, bases, max_iters)
    beyond = max_iters + 5  # a run may be told to go on; the rate must not go wild there
    table = [run.at(i) for i in range(beyond)]
    assert all(math.isfinite(lr) and lr >= 0 for row in table for lr in row)
    # A pure function of the iteration: in any order, and in a run that begins there.
    for i in data.draw(st.lists(st.integers(0, beyond - 1), max_size=6)):
        assert run.at(i) == table[i] == Run(config, bases, max_iters).at(i)
    # Each group follows its own base, whatever the others are.
    for column, base in enumerate(bases):
        alone = Run(config, [base], max_iters)
        assert [alone.at(i)[0] for i in range(beyond)] == [row[column] for row in table]
    # Warm-up multiplies the policy's own rate by something from its ratio to 1, and is over after its length.
    if "warmup" in config:
        bare = Run({k: v for k, v in config.items() if not k.startswith("warmup")}, bases, max_iters)
        for i in range(beyond):
            for warm, cold in zip(table[i], bare.at(i), strict=True):
                if i >= config["warmup_iters"]:
                    assert warm == cold
                else:
                    assert (config["warmup_ratio"] - 1e-9) * cold <= warm <= (1 + 1e-9) * cold


ENDING = ["poly", "cosineannealing", "flatcosineannealing", "linearannealing", "polyrestart", "cosinerestart"]


@pytest.mark.parametrize("name", ENDING)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_where_a_schedule_begins_and_ends(name: str, data: st.DataObject) -> None:
    config, base = data.draw(POLICY[name]), data.draw(st.floats(0.02, 10))
    if "start_percent" in config:
        config["start_percent"] *= 0.4  # so that there is something left to fall in, even of one iteration
    max_iters = sum(config["periods"]) if "periods" in config else data.draw(st.integers(1, 90))
    low = config["min_lr_ratio"] * base if "min_lr_ratio" in config else config["min_lr"]
    run = Run(config, [base], max_iters)
    weight = config.get("restart_weights", [1])[0]
    assert run.at(0)[0] == pytest.approx(max(0.0, low + weight * (base - low)), rel=1e-12, abs=1e-15)
    assert run.at(max_iters)[0] == pytest.approx(low, rel=1e-12, abs=1e-15)  # what the last iteration nears
    if "periods" not in config:
        falling = [run.at(i)[0] for i in range(max_iters + 1)]
        assert all(a >= b - 1e-15 * base for a, b in zip(falling, falling[1:], strict=False))
        return
    begin = 0
    for length, weight in zip(config["periods"], config["restart_weights"], strict=True):
        anew = max(0.0, low + weight * (base - low))
        assert run.at(begin)[0] == pytest.approx(anew, rel=1e-9, abs=1e-15)
        begin += length


def test_a_heavy_restart_of_a_group_below_the_floor_stays_above_zero() -> None:
    config = dict(policy="PolyRestart", periods=[4], restart_weights=[3.0], min_lr=1e-5)
    run = Run(config, [1e-6, 1e-3], 4)
    assert [run.at(i)[0] for i in (0, 1)] == [0.0, 0.0] and run.at(4)[0] == pytest.approx(1e-5)
    assert run.at(0)[1] == pytest.approx(1e-5 + 3 * (1e-3 - 1e-5))


@settings(deadline=None, max_examples=40)
@given(data=st.data(), iters_per_epoch=st.integers(1, 9), epochs=st.integers(1, 9))
def test_by_epoch_is_by_iteration_of_epochs(data: st.DataObject, iters_per_epoch: int, epochs: int) -> None:
    name = data.draw(st.sampled_from(sorted(set(POLICY) - {"cyclic", "onecycle"})))
    config, bases = data.draw(POLICY[name]), data.draw(BASES)
    max_iters = data.draw(st.integers((epochs - 1) * iters_per_epoch + 1, epochs * iters_per_epoch))
    coarse = Run({**config, "by_epoch": True}, bases, max_iters, iters_per_epoch=iters_per_epoch)
    fine = Run({**config, "by_epoch": False}, bases, epochs)
    for i in range(max_iters):
        assert coarse.at(i) == fine.at(i // iters_per_epoch)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (dict(policy="step", step=0), ["lr_config.step", "not 0"]),
        (dict(policy="step", step=-3), ["lr_config.step", "not -3"]),
        (dict(policy="step", step="10"), ["lr_config.step", "not '10'"]),
        (dict(policy="step", step=[10, "20"]), ["lr_config.step", "'20'"]),
        (dict(policy="PolyRestart", periods=[]), ["lr_config.periods", "not []"]),
        (dict(policy="PolyRestart", periods=[5, 0]), ["lr_config.periods", "[5, 0]"]),
        (dict(policy="CosineRestart", periods=9, min_lr=0), ["lr_config.periods", "not 9"]),
        (dict(policy="poly", power="0.9"), ["lr_config.power", "'0.9'"]),
        (dict(policy="poly", min_lr=None), ["lr_config.min_lr", "None"]),
        (dict(policy="exp", gamma=math.nan), ["lr_config.gamma", "nan"]),
        (dict(policy="cyclic", target_ratio=()), ["lr_config.target_ratio", "()"]),
        (dict(policy="cyclic", target_ratio=(1, 2, 3)), ["lr_config.target_ratio", "(1, 2, 3)"]),
        (dict(policy="OneCycle", max_lr=1.0, div_factor=0), ["lr_config.div_factor", "not 0"]),
        (dict(policy="fixed", warmup="linear", warmup_iters="5"), ["lr_config.warmup_iters", "'5'"]),
        (dict(policy="fixed", warmup="linear", warmup_iters=5, warmup_ratio="x"), ["warmup_ratio", "'x'"]),
    ],
)  # fmt: skip
def test_values_that_are_none(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        Run(config, [0.1], 100)
    for word in words:
        assert word in str(error.value)
