# Adam at a constant rate, counted in epochs.
_base_ = "./schedule_160k.py"

optimizer = dict(_delete_=True, type="Adam", lr=3e-4)
lr_config = dict(
    _delete_=True, policy="fixed", warmup="linear", warmup_iters=1, warmup_ratio=3e-4, by_epoch=False
)
runner = dict(_delete_=True, type="EpochBasedRunner", max_epochs=180)
evaluation = dict(interval=20, save_best="mIoU")
