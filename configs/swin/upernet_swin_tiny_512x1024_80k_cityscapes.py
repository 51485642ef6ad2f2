_base_ = [
    "../_base_/models/upernet_swin.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_swin_160k.py",
]

model = dict(
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="pretrain/swin_tiny_patch4_window7_224.pth"))
)
runner = dict(max_iters=80000)
checkpoint_config = dict(interval=8000)
evaluation = dict(interval=8000)
