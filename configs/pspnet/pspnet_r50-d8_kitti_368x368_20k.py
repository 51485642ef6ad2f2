# Keeps a rolling `latest.pth` and the best weights, no others.
_base_ = [
    "../_base_/models/pspnet_r50-d8.py",
    "../_base_/datasets/kitti_seg_basic.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/schedule_20k.py",
]

checkpoint_config = dict(_delete_=True)
evaluation = dict(interval={{_base_.val_interval}}, save_best="mIoU")
