"""In what order samples come: pure functions of (seed, epoch, world size, rank).

A sampler gives pairs (epoch, index), because a sample's random choices are seeded by both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmseg.utils.errors import UserError
from mmseg.utils.random import seed_from

Key = tuple[int, int]  # epoch, index


class TrainSampler:
    """Endless batches for training.

    Each epoch is one permutation of all indices, cut into global batches of ``batch_size * world_size``;
    rank ``r`` takes the ``r``-th part of each. No index comes twice in an epoch, and the last
    ``length % (batch_size * world_size)`` of the permutation are left out. The position is one integer,
    the number of iterations done, so that any of them is reached at once.

    Args:
        length: Number of samples.
        batch_size: Samples of one rank in an iteration.
        seed: Of the permutations.
        rank: This process.
        world_size: Number of processes.
        shuffle: False keeps the indices in order.
        start_iter: The iteration to begin with, 0-based and counted over epochs.

    Raises:
        UserError: the data set is smaller than one global batch.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        start_iter: int = 0,
    ) -> None:
        if length < batch_size * world_size:
            raise UserError(
                f"the data set has {length} samples, fewer than one batch of {batch_size} on each of "
                f"{world_size} processes; lower `samples_per_gpu` or repeat the data set"
            )
        assert 0 <= rank < world_size and start_iter >= 0
        self.length, self.batch_size = length, batch_size
        self.seed, self.shuffle = seed, shuffle
        self.rank, self.world_size = rank, world_size
        self.start_iter = start_iter
        self.iters_per_epoch = length // (batch_size * world_size)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, first = divmod(self.start_iter, self.iters_per_epoch)
        while True:
            yield from self.batches_of(epoch, first)
            epoch, first = epoch + 1, 0

    def batches_of(self, epoch: int, first: int = 0) -> Iterator[list[Key]]:
        """The batches of an epoch, from its iteration ``first`` on."""
        order = self.order_of(epoch)
        for iteration in range(first, self.iters_per_epoch):
            begin = (iteration * self.world_size + self.rank) * self.batch_size
            yield [(epoch, int(i)) for i in order[begin : begin + self.batch_size]]

    def order_of(self, epoch: int) -> np.ndarray:
        """The permutation of an epoch, (length,)."""
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.default_rng(seed_from(self.seed, epoch)).permutation(self.length)


class EpochSampler:
    """One epoch of a ``TrainSampler``.

    Args:
        sampler: The endless one; its ``start_iter`` plays no part.
        epoch: Which epoch.
        drop_last: Leave out the smaller batch at the end. With several ranks it is always left out:
            they must all take the same number of steps.
    """

    def __init__(self, sampler: TrainSampler, epoch: int = 0, drop_last: bool = False) -> None:
        self.sampler, self.epoch = sampler, epoch
        keep_rest = not drop_last and sampler.world_size == 1
        self._rest = sampler.length % sampler.batch_size if keep_rest else 0

    def __len__(self) -> int:
        return self.sampler.iters_per_epoch + (self._rest > 0)

    def __iter__(self) -> Iterator[list[Key]]:
        yield from self.sampler.batches_of(self.epoch)
        if self._rest:
            yield [(self.epoch, int(i)) for i in self.sampler.order_of(self.epoch)[-self._rest :]]


class EvalSampler:
    """Every index exactly once over all ranks: rank ``r`` takes ``r``, ``r + world_size``, and so on.

    Args:
        length: Number of samples, any; a rank may get none.
        rank: This process.
        world_size: Number of processes.
    """

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        assert 0 <= rank < world_size
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


class InBatches:
    """Batches of consecutive indices of a sampler that has a length.

    Args:
        indices: For example an ``EvalSampler``.
        batch_size: Samples in a batch; the last one may be smaller.
        epoch: The epoch that the keys name.
        drop_last: Leave out a smaller last batch.
    """

    def __init__(
        self, indices: Iterable[int], batch_size: int, epoch: int = 0, drop_last: bool = False
    ) -> None:
        self.indices, self.batch_size = indices, batch_size
        self.epoch, self.drop_last = epoch, drop_last

    def __len__(self) -> int:
        full, rest = divmod(len(self.indices), self.batch_size)  # type: ignore[arg-type]
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[Key]]:
        batch: list[Key] = []
        for index in self.indices:
            batch.append((self.epoch, index))
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch
