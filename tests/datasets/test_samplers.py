from __future__ import annotations

import hashlib
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


@given(
    batch_size=st.integers(1, 4),
    world_size=st.integers(1, 6),
    extra=st.integers(0, 30),
    seed=st.integers(0, 9),
    start=st.integers(0, 60),
    shuffle=st.booleans(),
)
def test_resuming_at_any_iteration_on_any_rank(
    batch_size: int, world_size: int, extra: int, seed: int, start: int, shuffle: bool
) -> None:
    length = batch_size * world_size + extra
    for rank in range(world_size):
        sampler = TrainSampler(length, batch_size, seed, rank, world_size, shuffle)
        whole = take(sampler, start + 9)
        resumed = TrainSampler(length, batch_size, seed, rank, world_size, shuffle, start_iter=start)
        assert take(resumed, 9) == whole[start:]
        assert take(resumed, 9) == whole[start:]  # going through it moves nothing
        iters = sampler.iters_per_epoch
        assert [batch[0][0] for batch in whole] == [i // iters for i in range(start + 9)]


@given(
    length=st.integers(1, 40), batch_size=st.integers(1, 6), world_size=st.integers(1, 5), drop=st.booleans()
)
def test_one_epoch_of_any_length(length: int, batch_size: int, world_size: int, drop: bool) -> None:
    if length < batch_size * world_size:
        with pytest.raises(UserError, match=f"{length} samples"):
            TrainSampler(length, batch_size, 0, 0, world_size)
        return
    ranks = [
        EpochSampler(TrainSampler(length, batch_size, 3, rank, world_size), epoch=4, drop_last=drop)
        for rank in range(world_size)
    ]
    batches = [list(sampler) for sampler in ranks]
    assert {len(b) for b in batches} == {len(sampler) for sampler in ranks}
    assert len({len(b) for b in batches}) == 1  # all ranks take the same number of steps
    indices = [index for own in batches for batch in own for _, index in batch]
    assert len(set(indices)) == len(indices)
    missing = length - len(indices)
    assert missing == (0 if world_size == 1 and not drop else length % (batch_size * world_size))


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


# Orders of version 1.0. Checkpoints hold a position only, so a resumed run relies on them.
RECORDED = {
    (0, 0): [8, 7, 9, 6, 10, 4, 5, 1, 2, 3, 0, 11],
    (0, 1): [11, 9, 8, 4, 0, 6, 2, 10, 7, 3, 1, 5],
    (0, 7): [1, 0, 3, 9, 11, 8, 6, 10, 5, 2, 7, 4],
    (3, 0): [3, 2, 5, 1, 9, 6, 8, 10, 7, 4, 0, 11],
    (3, 7): [8, 7, 6, 4, 9, 3, 11, 5, 10, 2, 1, 0],
    (2**40 + 1, 0): [4, 1, 8, 11, 7, 2, 0, 3, 5, 9, 6, 10],
    (2**40 + 1, 7): [8, 7, 3, 2, 0, 5, 4, 10, 11, 6, 9, 1],
}


@pytest.mark.parametrize(("seed", "epoch"), RECORDED)
def test_recorded_orders(seed: int, epoch: int) -> None:
    assert TrainSampler(12, 1, seed).order_of(epoch).tolist() == RECORDED[seed, epoch]


@pytest.mark.parametrize(
    ("seed", "digest"),
    [(0, "05131bde678ac04d"), (3, "36f5e1c304e5e9e2"), (2**40 + 1, "234a70c29956c038")],
)
def test_recorded_order_of_a_million(seed: int, digest: str) -> None:
    order = TrainSampler(1_000_003, 4, seed).order_of(2)
    assert order.dtype.itemsize == 8
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()[:16] == digest


def test_recorded_batches() -> None:
    second_rank = take(TrainSampler(11, 2, 5, 1, 2, start_iter=1), 4)
    assert second_rank == [[(0, 1), (0, 6)], [(1, 2), (1, 8)], [(1, 7), (1, 4)], [(2, 9), (2, 10)]]
    epoch = [[8, 5], [4, 9], [3, 2], [0, 10], [1, 6], [7]]
    assert list(EpochSampler(TrainSampler(11, 2, 5), epoch=3)) == [[(3, i) for i in b] for b in epoch]
    assert list(InBatches(EvalSampler(7, 1, 2), 2, epoch=4)) == [[(4, 1), (4, 3)], [(4, 5)]]
