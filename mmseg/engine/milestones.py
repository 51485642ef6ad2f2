"""What happens between two iterations where the plan says so: evaluations and checkpoints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mmseg.utils.distributed import get_rank
from mmseg.utils.logger import get_root_logger
from mmseg.utils.watchdog import beat

if TYPE_CHECKING:
    from mmseg.engine.trainer import Trainer


def reach_milestone(trainer: Trainer) -> bool:
    """Evaluate and save after the present iteration if the plan says so; returns whether it did.

    Before an evaluation ``latest.pth`` is saved with the note that the milestone is due: a run that is
    killed or stopped on the way through it begins again with it, so that no score and no file is missing.
    """
    plan = trainer.plan
    evaluates = plan.is_eval_time(trainer.iter) and trainer.val_dataset is not None
    if evaluates:
        trainer.milestone_due = True
        trainer.save("latest.pth")
        trainer.evaluate()
    trainer.milestone_due = False
    saves = plan.is_save_time(trainer.iter, last=trainer.should_stop)
    if saves:
        trainer.save(plan.checkpoint_name(trainer.iter))
    elif evaluates:
        trainer.save("latest.pth")  # with the best score up to here
    if saves or evaluates:
        beat("training", trainer.iter)
    return saves or evaluates


def stop_early(trainer: Trainer, scores: dict[str, float]) -> None:
    """Let ``early_stopping`` see the scores of an evaluation."""
    stopping = trainer.scoring.early_stopping
    if stopping is None:
        return
    stopping.update(scores)
    if stopping.should_stop:
        trainer.logger.info(f"early stopping at iteration {trainer.iter}: {stopping.reason()}")
        trainer.should_stop = True


def keep_best(trainer: Trainer, scores: dict[str, float]) -> None:
    """Save the best checkpoint anew where the scores of an evaluation are better, and delete the former.

    Where the disk does not take it, the former remains the best: ``trainer.best`` names a file that exists.
    """
    monitor = trainer.scoring.best
    if monitor is None:
        return
    former = trainer.best if trainer.best.get("key") == monitor.key else {}
    score = monitor.value(scores)
    if not monitor.improves(score, former.get("score")):
        return
    by_epoch = trainer.plan.by_epoch
    unit, count = ("epoch", trainer.epoch) if by_epoch else ("iter", trainer.iter)
    before = trainer.best
    trainer.best = {"key": monitor.key, "score": score, "file": monitor.file_name(unit, count)}
    if not trainer.save(trainer.best["file"], latest=False):
        trainer.best = before
        trainer.logger.info(f"best {monitor.key} so far: {score:.4f}, which could not be saved")
        return
    if get_rank() == 0 and former.get("file") not in (None, trainer.best["file"]):
        _delete(os.path.join(trainer.work_dir, former["file"]))
    trainer.logger.info(f"best {monitor.key} so far: {score:.4f}, kept as {trainer.best['file']}")


def _delete(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:  # the new one is there, which is what counts
        get_root_logger().warning(f"cannot delete the old checkpoint {path}: {error.strerror or error}")
