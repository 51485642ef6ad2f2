"""What data sets, models and the engine share: so far the scores of label maps."""

from mmseg.core.evaluation import eval_metrics, get_classes, get_palette, mean_dice, mean_fscore, mean_iou

__all__ = ["eval_metrics", "get_classes", "get_palette", "mean_dice", "mean_fscore", "mean_iou"]
