# Meant for 8 GPUs with one crop each.
_base_ = [
    "../_base_/models/segformer_mit-b0_balanced.py",
    "../_base_/datasets/cityscapes_1024x1024.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="pretrain/mit_b0.pth")),
    test_cfg=dict(mode="slide", crop_size=(1024, 1024), stride=(768, 768)),
)
data = dict(samples_per_gpu=1, workers_per_gpu=1)
