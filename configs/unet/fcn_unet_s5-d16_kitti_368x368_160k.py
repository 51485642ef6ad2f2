_base_ = [
    "../_base_/models/fcn_unet_s5-d16.py",
    "../_base_/datasets/kitti_seg_368x368.py",
    "../_base_/wandb_runtime.py",
    "../_base_/schedules/schedule_160k.py",
]

model = dict(
    decode_head=dict(num_classes=19), auxiliary_head=dict(num_classes=19), test_cfg=dict(mode="whole")
)
workflow = [("train", 1600), ("val", 1)]
evaluation = dict(interval=1600, save_best="mIoU")
