# Meant for 8 GPUs with two crops each.
_base_ = [
    "../_base_/models/segformer_mit-b0.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="pretrain/mit_b0.pth")),
    decode_head=dict(num_classes=150),
)
data = dict(samples_per_gpu=2, workers_per_gpu=2)
