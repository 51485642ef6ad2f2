import pytest

from mmseg.engine.plan import plan_run
from mmseg.utils.errors import UserError


def test_iteration_based_run():
    cfg = dict(
        runner=dict(type="IterBasedRunner", max_iters=100),
        evaluation=dict(interval=30),
        checkpoint_config=dict(by_epoch=False, interval=40),
        log_config=dict(interval=7),
    )
    plan = plan_run(cfg, iters_per_epoch=10)
    assert [i for i in range(1, 101) if plan.is_eval_time(i)] == [30, 60, 90, 100]
    assert [i for i in range(1, 101) if plan.is_save_time(i)] == [40, 80, 100]
    assert plan.checkpoint_name(40) == "iter_40.pth"
    assert plan.log_interval == 7


def test_epoch_based_run_counts_epochs():
    cfg = dict(
        runner=dict(type="EpochBasedRunner", max_epochs=4),
        evaluation=dict(interval=2),
        checkpoint_config=dict(interval=3),
    )
    plan = plan_run(cfg, iters_per_epoch=5)
    assert plan.max_iters == 20
    assert [i for i in range(1, 21) if plan.is_eval_time(i)] == [10, 20]
    assert [i for i in range(1, 21) if plan.is_save_time(i)] == [15, 20]
    assert plan.checkpoint_name(15) == "epoch_3.pth"


def test_iterations_between_checkpoints_of_an_epoch_based_run():
    cfg = dict(
        runner=dict(type="EpochBasedRunner", max_epochs=4), checkpoint_config=dict(by_epoch=False, interval=7)
    )
    plan = plan_run(cfg, iters_per_epoch=5)
    assert [i for i in range(1, 21) if plan.is_save_time(i)] == [7, 14, 20]
    assert plan.checkpoint_name(7) == "iter_7.pth"


def test_without_an_interval_only_the_end_is_numbered():
    plan = plan_run(dict(runner=dict(type="IterBasedRunner", max_iters=9), checkpoint_config={}), 3)
    assert [i for i in range(1, 10) if plan.is_save_time(i)] == [9]


def test_bare_total_iters():
    assert plan_run(dict(total_iters=12), 3).max_iters == 12
    assert plan_run(dict(total_epochs=12), 3).max_iters == 36


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({}, "no `runner`"),
        (dict(runner=dict(type="IterBasedRuner", max_iters=3)), "unknown runner `IterBasedRuner`"),
        (dict(runner=dict(type="IterBasedRunner", max_iters=0)), "positive integer, not 0"),
        (dict(total_iters=3, evaluation=dict(interval="5")), "evaluation.interval must be an integer"),
    ],
)
def test_mistakes_are_named(cfg, words):
    with pytest.raises(UserError, match=words):
        plan_run(cfg, 3)
