"""Schedules against tables of numbers and against their formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg.engine import build_lr_schedule
from mmseg.utils.errors import UserError


def lrs(lr_config, max_iters, bases=(1.0,), iters_per_epoch=None):
    """Learning rates of every iteration: one list per base."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": base} for base in bases]
    optimizer = torch.optim.SGD(groups)
    schedule = build_lr_schedule(lr_config, optimizer, max_iters, iters_per_epoch)
    table = []
    for i in range(max_iters):
        schedule.step(i)
        table.append([g["lr"] for g in optimizer.param_groups])
    return [list(column) for column in zip(*table, strict=True)]


TABLE = [
    (dict(policy="fixed"), 4, [1, 1, 1, 1]),
    (dict(policy="poly", power=1.0), 4, [1, 0.75, 0.5, 0.25]),
    (dict(policy="poly", power=2.0, min_lr=0.2), 2, [1.0, 0.8 * 0.25 + 0.2]),
    (dict(policy="step", step=2), 5, [1, 1, 0.1, 0.1, 0.01]),
    (dict(policy="step", step=[1, 3], gamma=0.5), 4, [1, 0.5, 0.5, 0.25]),
    (dict(policy="step", step=1, gamma=0.1, min_lr=0.05), 3, [1, 0.1, 0.05]),
    (dict(policy="exp", gamma=0.5), 3, [1, 0.5, 0.25]),
    (dict(policy="inv", gamma=1.0, power=1.0), 3, [1, 1 / 2, 1 / 3]),
    (dict(policy="CosineAnnealing", min_lr=0.0), 4, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]),
    (dict(policy="CosineAnnealing", min_lr_ratio=0.5), 2, [1, 0.75]),
    (dict(policy="FlatCosineAnnealing", start_percent=0.5, min_lr=0.0), 4, [1, 1, 1, 0.5]),
    (
        dict(policy="CosineRestart", periods=[2, 2], restart_weights=[1, 0.5], min_lr=0.0),
        4,
        [1, 0.5, 0.5, 0.25],
    ),
    (dict(policy="PolyRestart", periods=[2, 2], restart_weights=[1, 0.5]), 4, [1, 0.5, 0.5, 0.25]),
    (dict(policy="LinearAnnealing", min_lr_ratio=0.5), 2, [1, 0.75]),
    (
        dict(policy="cyclic", target_ratio=(3, 0.5), step_ratio_up=0.5, anneal_strategy="linear"),
        4,
        [1, 2, 3, 1.75],
    ),
    (
        dict(policy="OneCycle", max_lr=2.0, div_factor=4, pct_start=0.5, anneal_strategy="linear"),
        6,
        [0.5, 1.25, 2],
    ),
    (dict(policy="fixed", warmup="linear", warmup_iters=2, warmup_ratio=0.5), 3, [0.5, 0.75, 1]),
    (dict(policy="fixed", warmup="constant", warmup_iters=2, warmup_ratio=0.5), 3, [0.5, 0.5, 1]),
    (dict(policy="fixed", warmup="exp", warmup_iters=2, warmup_ratio=0.25), 3, [0.25, 0.5, 1]),
]


@pytest.mark.parametrize(("lr_config", "max_iters", "expected"), TABLE)
def test_policies_follow_their_tables(lr_config, max_iters, expected):
    assert lrs(lr_config, max_iters)[0][: len(expected)] == pytest.approx(expected)


def halved_cosine(x):
    """From 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * x)) / 2


def period_of(i, periods):
    """The number of the period that holds iteration ``i``, and its first iteration."""
    begin = 0
    for k, length in enumerate(periods):
        if i < begin + length:
            return k, begin
        begin += length
    raise AssertionError


def by_hand(config, i, total, base):
    """The learning rate of iteration ``i`` by the formulas of mmcv 1.x, written down once more."""
    c = {"min_lr": 0.0, "power": 1.0, "gamma": 0.1, **config}
    low = c["min_lr_ratio"] * base if "min_lr_ratio" in c else c["min_lr"]
    kind = c["policy"]
    if kind == "fixed":
        return base
    if kind == "step":
        steps = c["step"]
        passed = i // steps if isinstance(steps, int) else len([s for s in steps if s <= i])
        return base * c["gamma"] ** passed
    if kind == "exp":
        return base * c["gamma"] ** i
    if kind == "inv":
        return base / (1 + c["gamma"] * i) ** c["power"]
    if kind == "poly":
        return low + (base - low) * (1 - i / total) ** c["power"]
    if kind == "LinearAnnealing":
        return base - (base - low) * i / total
    if kind == "CosineAnnealing":
        return low + (base - low) * halved_cosine(i / total)
    if kind == "FlatCosineAnnealing":
        flat = round(total * c["start_percent"])
        return base if i < flat else low + (base - low) * halved_cosine((i - flat) / (total - flat))
    k, begin = period_of(i, c["periods"])
    fraction, weight = (i - begin) / c["periods"][k], c["restart_weights"][k]
    shape = halved_cosine(fraction) if kind == "CosineRestart" else (1 - fraction) ** c["power"]
    return low + weight * (base - low) * shape


def warm_up_by_hand(config, i):
    if i >= config["warmup_iters"]:
        return 1.0
    ratio, done = config["warmup_ratio"], i / config["warmup_iters"]
    return {"constant": ratio, "linear": ratio + (1 - ratio) * done, "exp": ratio ** (1 - done)}[
        config["warmup"]
    ]


floors = st.one_of(
    st.fixed_dictionaries({"min_lr": st.floats(0, 0.01)}),
    st.fixed_dictionaries({"min_lr_ratio": st.floats(0, 1)}),
)
periods = st.lists(st.tuples(st.integers(1, 20), st.floats(0.1, 1)), min_size=1, max_size=4).map(
    lambda pairs: {"periods": [p for p, _ in pairs], "restart_weights": [w for _, w in pairs]}
)


def policy(name, *parts, **values):
    return st.tuples(st.fixed_dictionaries({"policy": st.just(name), **values}), *parts).map(
        lambda dicts: {k: v for d in dicts for k, v in d.items()}
    )


POLICIES = st.one_of(
    policy("fixed"),
    policy("step", step=st.integers(1, 9), gamma=st.floats(0.1, 1)),
    policy("step", step=st.lists(st.integers(0, 60), max_size=4).map(sorted), gamma=st.floats(0.1, 1)),
    policy("exp", gamma=st.floats(0.5, 1)),
    policy("inv", gamma=st.floats(0, 1), power=st.floats(0.1, 3)),
    policy("poly", power=st.floats(0.1, 3), min_lr=st.floats(0, 0.01)),
    policy("PolyRestart", periods, power=st.floats(0.1, 3), min_lr=st.floats(0, 0.01)),
    policy("CosineRestart", periods, floors),
    policy("CosineAnnealing", floors),
    policy("LinearAnnealing", floors),
    policy("FlatCosineAnnealing", floors, start_percent=st.floats(0, 0.9)),
)  # fmt: skip
WARM_UPS = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "warmup": st.sampled_from(["constant", "linear", "exp"]),
            "warmup_iters": st.integers(1, 30),
            "warmup_ratio": st.floats(1e-6, 1),
        }
    ),
)


@given(config=POLICIES, warm_up=WARM_UPS, max_iters=st.integers(1, 60), base=st.floats(0.02, 1))
def test_every_policy_equals_its_formula_at_every_step(config, warm_up, max_iters, base):
    if "periods" in config:
        max_iters = sum(config["periods"])
    table = lrs({**config, **warm_up}, max_iters, bases=(base, 10 * base))
    for factor, column in zip((1, 10), table, strict=True):
        for i, lr in enumerate(column):
            expected = by_hand(config, i, max_iters, factor * base) * (
                warm_up_by_hand(warm_up, i) if warm_up else 1
            )
            assert lr == pytest.approx(expected, rel=1e-9, abs=1e-15), (i, config)


@given(
    max_lr=st.floats(0.01, 1),
    div=st.floats(2, 50),
    final=st.floats(10, 1e4),
    start=st.floats(0.1, 0.45),
    steps=st.integers(20, 80),
    strategy=st.sampled_from(["cos", "linear"]),
    three=st.booleans(),
)
def test_one_cycle_equals_torchs(max_lr, div, final, start, steps, strategy, three):
    settings = dict(
        pct_start=start, anneal_strategy=strategy, three_phase=three, div_factor=div, final_div_factor=final
    )
    ours = lrs(dict(policy="OneCycle", max_lr=max_lr, **settings), steps)[0]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr, total_steps=steps, cycle_momentum=False, **settings
    )
    for lr in ours:
        assert lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if scheduler.last_epoch < steps - 1:
            scheduler.step()


@given(
    up=st.floats(1.1, 10),
    down=st.floats(1e-4, 1),
    times=st.integers(1, 4),
    ratio=st.floats(0.1, 0.9),
    gamma=st.floats(0.1, 1),
    steps=st.integers(40, 80),
)
def test_cycles_equal_their_formula(up, down, times, ratio, gamma, steps):
    config = dict(
        policy="cyclic", target_ratio=(up, down), cyclic_times=times, step_ratio_up=ratio, gamma=gamma
    )
    length = steps // times
    rising = int(ratio * length)
    for i, lr in enumerate(lrs(config, steps, bases=(0.3,))[0]):
        cycle, inside = i // length, i % length
        peak = 0.3 + gamma**cycle * (up * 0.3 - 0.3)
        if inside < rising:
            expected = peak + (0.3 - peak) * halved_cosine(inside / rising)
        else:
            expected = down * 0.3 + (peak - down * 0.3) * halved_cosine((inside - rising) / (length - rising))
        assert lr == pytest.approx(expected, rel=1e-9)


def test_names_of_the_hooks_will_do():
    assert lrs(dict(type="PolyLrUpdaterHook", power=1.0), 2)[0] == pytest.approx([1, 0.5])


def test_after_the_last_period_the_rate_stays_down():
    table = lrs(dict(policy="CosineRestart", periods=[2], restart_weights=[0.5], min_lr=0.1), 4)[0]
    assert table == pytest.approx([0.1 + 0.45, 0.1 + 0.225, 0.1, 0.1])


def test_warm_up_multiplies_the_policy_of_that_iteration():
    config = dict(policy="poly", power=1.0, warmup="linear", warmup_iters=2, warmup_ratio=0.5)
    assert lrs(config, 4)[0] == pytest.approx([0.5 * 1.0, 0.75 * 0.75, 0.5, 0.25])


def test_each_group_follows_its_own_base():
    table = lrs(dict(policy="poly", power=0.9, min_lr=0.1), 10, bases=(1.0, 10.0))
    for i in range(10):
        assert table[0][i] == pytest.approx((1.0 - 0.1) * (1 - i / 10) ** 0.9 + 0.1)
        assert table[1][i] == pytest.approx((10.0 - 0.1) * (1 - i / 10) ** 0.9 + 0.1)


def test_by_epoch_changes_only_between_epochs():
    table = lrs(dict(policy="poly", power=1.0, by_epoch=True), 6, iters_per_epoch=2)
    assert table[0] == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])


def test_warm_up_by_epoch():
    config = dict(policy="fixed", warmup="linear", warmup_iters=1, warmup_ratio=0.5, warmup_by_epoch=True)
    assert lrs(config, 3, iters_per_epoch=2)[0] == pytest.approx([0.5, 0.75, 1])


@given(
    power=st.floats(0.1, 3),
    min_lr=st.floats(0, 0.01),
    warmup=st.sampled_from(["linear", "exp", "constant"]),
    max_iters=st.integers(1, 60),
)
def test_poly_never_negative_nor_above_base(power, min_lr, warmup, max_iters):
    config = dict(policy="poly", power=power, min_lr=min_lr, warmup=warmup, warmup_iters=5, warmup_ratio=0.1)
    for value in lrs(config, max_iters, bases=(0.1,))[0]:
        assert 0 <= value <= 0.1 * (1 + 1e-12)


def test_a_step_is_a_pure_function_of_the_iteration():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = build_lr_schedule(dict(policy="poly", power=0.9), optimizer, 100)
    schedule.step(70)
    late = optimizer.param_groups[0]["lr"]
    schedule.step(3)
    schedule.step(70)
    assert optimizer.param_groups[0]["lr"] == late


@pytest.mark.parametrize(
    ("lr_config", "words"),
    [
        (dict(policy="pol"), ["unknown policy `pol`", "`poly`"]),
        (dict(policy="poly", powr=1.0), ["takes no `powr`", "`power`"]),
        (dict(policy="step"), ["needs `step`"]),
        (dict(policy="poly", warmup="linar", warmup_iters=3), ["unknown kind `linar`", "`linear`"]),
        (dict(policy="poly", warmup="linear"), ["warmup_iters must be positive"]),
        (dict(policy="poly", warmup="linear", warmup_iters=3, warmup_ratio=1.5), ["0..1", "1.5"]),
        (dict(policy="CosineAnnealing"), ["either `min_lr` or `min_lr_ratio`"]),
        (
            dict(policy="PolyRestart", periods=[1, 2], restart_weights=[1]),
            ["periods has 2", "restart_weights 1"],
        ),
        (dict(policy="poly", by_epoch=True), ["iterations per epoch"]),
        (dict(policy="cyclic", by_epoch=True), ["counts iterations", "by_epoch=False"]),
        (dict(policy="cyclic", step_ratio_up=1.0), ["step_ratio_up must lie in [0, 1)"]),
        (dict(policy="cyclic", cyclic_times=0), ["positive integer, not 0"]),
        (dict(policy="OneCycle", max_lr=1.0, anneal_strategy="poly"), ["'cos' or 'linear', not 'poly'"]),
        (dict(policy="OneCycle", max_lr=[1.0]), ["max_lr must be one number"]),
        (dict(policy="OneCycle"), ["needs `max_lr`"]),
    ],
)
def test_mistakes_are_named(lr_config, words):
    with pytest.raises(UserError) as error:
        lrs(lr_config, 10)
    for word in words:
        assert word in str(error.value)
