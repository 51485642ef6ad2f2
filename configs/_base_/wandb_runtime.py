# Logs to W&B too, to the account that is logged in.
_base_ = "./default_runtime.py"

log_config = dict(
    hooks=[
        dict(type="TextLoggerHook", by_epoch=False),
        dict(
            type="WandbLoggerHook",
            init_kwargs=dict(project="mmseg_training_kitti_segFormer"),
            out_suffix=(".log", ".log.json", ".pth", ".py"),
        ),
    ]
)
