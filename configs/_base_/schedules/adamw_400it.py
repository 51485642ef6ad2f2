# From random weights in a few minutes: a high rate, the same for backbone and head.
_base_ = "./adamw_160k.py"

optimizer = dict(lr=1e-3, paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=1.0))))
lr_config = dict(warmup_iters=50, warmup_ratio=0.01)
runner = dict(max_iters=400)
checkpoint_config = dict(interval=400)
evaluation = dict(interval=400)
