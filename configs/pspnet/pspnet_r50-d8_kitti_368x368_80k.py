_base_ = [
    "../_base_/models/pspnet_r50-d8.py",
    "../_base_/datasets/kitti_seg_368x368.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_80k.py",
]
