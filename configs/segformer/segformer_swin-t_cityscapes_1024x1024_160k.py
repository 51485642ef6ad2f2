# From ImageNet-22k weights; meant for 4 GPUs with two crops each.
_base_ = [
    "../_base_/models/segformer_swin.py",
    "../_base_/datasets/cityscapes_1024x1024.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/adamw_swin_160k.py",
]

checkpoint_file = "checkpoints/swin_tiny_patch4_window7_224_22k.pth"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)))
data = dict(workers_per_gpu=4)
val_interval = 1600
workflow = [("train", val_interval), ("val", 1)]
checkpoint_config = dict(_delete_=True)
evaluation = dict(interval=val_interval, save_best="mIoU")
