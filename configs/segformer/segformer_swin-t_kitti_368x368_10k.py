# From ImageNet-22k weights.
_base_ = [
    "../_base_/models/segformer_swin_balanced.py",
    "../_base_/datasets/kitti_seg_basic.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/adamw_swin_160k.py",
]

checkpoint_file = "checkpoints/swin_tiny_patch4_window7_224_22k.pth"
crop_size = (368, 368)
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)))
runner = dict(max_iters=10000)
checkpoint_config = dict(_delete_=True)
evaluation = dict(interval={{_base_.val_interval}}, save_best="mIoU")
