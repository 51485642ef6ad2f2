# Logs text only; for W&B too, say `log_config = customized_log_config`.
_base_ = [
    "../_base_/models/deeplabv3plus_r50-d8.py",
    "../_base_/datasets/kitti_seg_368x368.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/schedule_40k.py",
]

val_interval = 400
workflow = [("train", val_interval), ("val", 1)]
log_config = dict(hooks=[dict(type="TextLoggerHook", by_epoch=False)])
evaluation = dict(interval=val_interval, save_best="mIoU")
