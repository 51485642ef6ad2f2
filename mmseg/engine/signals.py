"""SIGTERM, SIGUSR1 and Ctrl-C: all ranks leave together, after the same iteration, with everything saved."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from mmseg.utils.distributed import barrier, get_rank, get_world_size
from mmseg.utils.exit_status import INTERRUPTED, RESUME
from mmseg.utils.logger import get_root_logger
from mmseg.utils.watchdog import beat

if TYPE_CHECKING:
    from mmseg.engine.trainer import Trainer

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)]
_SECONDS = 1.0  # between two questions whether a rank was asked to stop
_CALLS = 50  # and at most so many iterations


class RunStopped(SystemExit):
    """A run was asked to stop and has saved its state; ends the process with the status that says so."""


class StopSignals:
    """Takes SIGTERM, SIGUSR1 and SIGINT while it is entered, and asks the ranks whether one of them had any.

    A signal may reach one rank only, and ranks may be an iteration apart when it comes; so they ask each
    other, about once a second, with a number that travels while the next iteration is computed: nothing
    waits for the device. A second Ctrl-C ends the process at once.

    Args:
        device: That the process group works on.

    Attributes:
        received: The signal that this process had, 0 if none.
        agreed_on: The signal that all ranks stop for, 0 if none.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.received, self.agreed_on = 0, 0
        self._former: dict[int, Any] = {}
        self._calls, self._ask_at, self._asked_at = 0, 1, 0
        self._clock = time.monotonic()
        self._answer: tuple[torch.Tensor, Any] | None = None

    def __enter__(self) -> StopSignals:
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():  # Python allows no other to take signals
            self._former = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None and self._answer is not None:
            self._read()
        # On the way out a launcher may tell this process again, which must not change its exit status.
        leaves = self.agreed_on and get_world_size() > 1
        for number, former in self._former.items():
            signal.signal(number, signal.SIG_IGN if leaves else former)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a loading worker, which inherits this and must go on loading
            return
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.received and get_rank() == 0 and number == signal.SIGINT:
            # No logger here: the signal may have come in the middle of one of its lines.
            text = b"\nCtrl-C: saving after this iteration; once more leaves at once, without saving\n"
            signal_safe_write(text)
        self.received = int(number)

    @property
    def name(self) -> str:
        """The signal that the ranks stop for, as its user knows it."""
        return "Ctrl-C" if self.agreed_on == signal.SIGINT else signal.Signals(self.agreed_on).name

    @property
    def status(self) -> int:
        """The exit status: of an interruption, or the one that means 'resume me'."""
        return INTERRUPTED if self.agreed_on == signal.SIGINT else RESUME

    def agreed(self) -> bool:
        """Whether all ranks stop here. Every rank calls it equally often, and all get the same answer."""
        if get_world_size() == 1:
            self.agreed_on = self.received
            return bool(self.received)
        self._calls += 1
        if self._answer is not None:
            number, seconds = self._read()
            if number:
                self.agreed_on = int(number)
                return True
            distance = int(_SECONDS / max(seconds, _SECONDS / _CALLS))
            self._ask_at = self._asked_at + max(1, min(_CALLS, distance))
        if self._calls >= self._ask_at:
            self._ask()
        return False

    def _ask(self) -> None:
        """Send this rank's signal and its seconds per iteration on their way; the largest ones come back."""
        now = time.monotonic()
        seconds = (now - self._clock) / max(1, self._calls - self._asked_at)
        self._clock, self._asked_at = now, self._calls
        value = torch.tensor([float(self.received), seconds])
        if self.device.type != "cuda":
            self._answer = value, dist.all_reduce(value, dist.ReduceOp.MAX, async_op=True)
            return
        value = value.pin_memory().to(self.device, non_blocking=True)
        dist.all_reduce(value, dist.ReduceOp.MAX, async_op=True).wait()  # the stream waits, not this process
        host = torch.empty(2, pin_memory=True).copy_(value, non_blocking=True)
        there = torch.cuda.Event()
        there.record()
        self._answer = host, there

    def _read(self) -> tuple[float, float]:
        value, waiting = self._answer
        self._answer = None
        if self.device.type == "cuda":
            waiting.synchronize()
        else:
            waiting.wait()
        number, seconds = value.tolist()
        return number, seconds


def signal_safe_write(text: bytes) -> None:
    """Write to the standard error stream past Python's buffers, as a signal handler must."""
    with contextlib.suppress(OSError):
        os.write(2, text)


class Interruptible:
    """The batches of an evaluation, which ends with ``RunStopped`` where all ranks agree to stop.

    Args:
        loader: Of the validation set. Ranks may have one batch more or less than others; only those that
            every rank has are places to stop at.
        stop: Asked before each batch.
        leave: Called when it says yes; it does not return.
        enabled: False only tells the watchdog of each batch.
    """

    def __init__(self, loader: Any, stop: StopSignals, leave: Callable[[], None], enabled: bool) -> None:
        self.loader, self.stop, self.leave = loader, stop, leave
        self.dataset = loader.dataset
        batch_size = getattr(loader.batch_sampler, "batch_size", 1)
        common = -(-(len(loader.dataset) // get_world_size()) // batch_size)
        self.common = common if enabled else 0

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self.loader):
            beat("evaluation", number=number)
            if number < self.common and self.stop.agreed():
                self.leave()
            yield batch


def leave(trainer: Trainer, stop: StopSignals, saved: bool = False) -> None:
    """Save the run, close its logs and end the process; called on all ranks.

    Args:
        saved: ``latest.pth`` holds the present iteration already.

    Raises:
        RunStopped: always, unless the checkpoint could not be written.
        UserError: then, on all ranks.
    """
    if not saved:
        trainer.milestone_due = True
        trainer.save("latest.pth")
    for writer in trainer.writers:
        writer.close()
    trainer.failures.finish()
    get_root_logger().info(
        f"{stop.name}: stopped after iteration {trainer.iter}, which latest.pth in {trainer.work_dir} holds; "
        f"the same command with --auto-resume goes on (exit status {stop.status})"
    )
    barrier()
    raise RunStopped(stop.status)
