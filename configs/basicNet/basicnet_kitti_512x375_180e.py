_base_ = [
    "../_base_/models/basicnet.py",
    "../_base_/datasets/kitti_seg.py",
    "../_base_/wandb_runtime.py",
    "../_base_/schedules/adam_180e.py",
]

workflow = [("train", 10), ("val", 1)]
