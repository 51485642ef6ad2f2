# What `make demo` runs: from random weights, minutes on a laptop without a GPU. A short run wants a high rate
# and no stochastic depth.
_base_ = [
    "../_base_/models/segformer_mit-b0.py",
    "../_base_/datasets/toy.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(backbone=dict(drop_path_rate=0.0))
optimizer = dict(lr=2e-3, paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=1.0))))
lr_config = dict(warmup_iters=30, warmup_ratio=0.01)
runner = dict(max_iters=450)
checkpoint_config = dict(interval=450)
evaluation = dict(interval=450)
log_config = dict(interval=25)
