from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.datasets.samplers import EpochSampler, EvalSampler, InBatches, TrainSampler
from mmseg.utils.errors import UserError


def take(sampler: TrainSampler, count: int) -> list[list[tuple[int, int]]]:
    return list(itertools.islice(iter(sampler), count))


@given(
    batch_size=st.integers(1, 5),
    world_size=st.integers(1, 5),
    extra=st.integers(0, 40),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 3),
)
def test_an_epoch_over_all_ranks(batch_size: int, world_size: int, extra: int, seed: int, epoch: int) -> None:
    length = batch_size * world_size + extra
    iters = length // (batch_size * world_size)
    ranks = [
        take(TrainSampler(length, batch_size, seed, r, world_size, start_iter=epoch * iters), iters)
        for r in range(world_size)
    ]
    keys = [key for batches in ranks for batch in batches for key in batch]
    assert all(len(batch) == batch_size for batches in ranks for batch in batches)
    assert {e for e, _ in keys} == {epoch}
    indices = [i for _, i in keys]
    assert len(set(indices)) == len(indices) and set(indices) <= set(range(length))
    assert 0 <= length - len(indices) < batch_size * world_size
    # The global batches are those that one process with the joined batch would see.
    alone = take(TrainSampler(length, batch_size * world_size, seed, start_iter=epoch * iters), iters)
    for k in range(iters):
        assert sum((batches[k] for batches in ranks), []) == alone[k]


@given(length=st.integers(4, 30), start=st.integers(0, 40), seed=st.integers(0, 9))
def test_jump(length: int, start: int, seed: int) -> None:
    whole = take(TrainSampler(length, 4, seed), start + 12)
    assert take(TrainSampler(length, 4, seed, start_iter=start), 12) == whole[start:]


def test_a_far_position_is_reached_at_once() -> None:
    batch = next(iter(TrainSampler(1000, 4, seed=0, start_iter=10**12 + 7)))
    assert [e for e, _ in batch] == [10**12 // 250] * 4


def test_order_changes_with_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return TrainSampler(50, 1, seed).order_of(epoch).tolist()

    orders = [order(s, e) for s in range(3) for e in range(3)]
    assert len({tuple(o) for o in orders}) == 9
    assert order(1, 2) == order(1, 2) and sorted(order(1, 2)) == list(range(50))
    assert TrainSampler(5, 1, seed=3, shuffle=False).order_of(7).tolist() == list(range(5))


def test_too_small_a_data_set() -> None:
    with pytest.raises(UserError, match="7 samples.*batch of 4 on each of 2.*samples_per_gpu"):
        TrainSampler(7, 4, seed=0, world_size=2)
    assert TrainSampler(8, 4, seed=0, world_size=2).iters_per_epoch == 1


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_one_epoch(drop_last: bool, sizes: list[int]) -> None:
    sampler = EpochSampler(TrainSampler(10, 4, seed=0, start_iter=1), epoch=2, drop_last=drop_last)
    batches = list(sampler)
    assert [len(b) for b in batches] == sizes and len(sampler) == len(sizes)
    assert batches[:2] == take(TrainSampler(10, 4, seed=0, start_iter=4), 2)
    assert len({i for b in batches for _, i in b}) == sum(sizes)
    assert list(sampler) == batches


def test_one_epoch_on_several_ranks_has_equal_steps() -> None:
    lengths = [len(list(EpochSampler(TrainSampler(11, 2, 0, rank, 2)))) for rank in range(2)]
    assert lengths == [2, 2]


@given(length=st.integers(0, 40), world_size=st.integers(1, 9), batch_size=st.integers(1, 5))
def test_evaluation_sees_everything_once(length: int, world_size: int, batch_size: int) -> None:
    seen = []
    for rank in range(world_size):
        sampler = EvalSampler(length, rank, world_size)
        indices = list(sampler)
        assert len(indices) == len(sampler) and indices == list(range(rank, length, world_size))
        batches = InBatches(sampler, batch_size, epoch=3)
        assert len(list(batches)) == len(batches)
        assert [key for batch in batches for key in batch] == [(3, i) for i in indices]
        assert len(InBatches(sampler, batch_size, drop_last=True)) == len(indices) // batch_size
        seen += indices
    assert sorted(seen) == list(range(length))
