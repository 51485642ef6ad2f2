# Meant for 8 GPUs with two crops each.
_base_ = [
    "../_base_/models/upernet_swin.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_swin_160k.py",
]

model = dict(
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="pretrain/swin_tiny_patch4_window7_224.pth")),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
data = dict(samples_per_gpu=2)
