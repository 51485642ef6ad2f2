# The KITTI recipe of SegFormer; meant to start from Cityscapes weights (`--load-from`).
_base_ = [
    "../_base_/models/segformer_mit-b0_balanced.py",
    "../_base_/datasets/kitti_seg_basic.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="pretrain/mit_b0.pth")))
optimizer = dict(lr=1e-5)
lr_config = dict(warmup_ratio=1e-5)
runner = dict(max_iters=10000)
evaluation = dict(interval={{_base_.val_interval}}, save_best="mIoU")
