# What the KITTI recipes log and how often they evaluate. W&B runs go to the account that is logged in.
_base_ = "./default_runtime.py"

val_interval = 500
workflow = [("train", val_interval), ("val", 1)]
customized_log_config = dict(
    interval=50,
    hooks=[
        dict(type="TextLoggerHook", by_epoch=False),
        dict(
            type="WandbLoggerHook",
            init_kwargs=dict(project="mmseg_training_kitti_segFormer"),
            out_suffix=(".log", ".log.json", ".pth", ".py"),
            commit=False,
        ),
    ],
)
log_config = customized_log_config
