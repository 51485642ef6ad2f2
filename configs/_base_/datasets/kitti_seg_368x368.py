# kitti_seg_basic.py with half the batch.
_base_ = "./kitti_seg_basic.py"

crop_size = (368, 368)
data = dict(samples_per_gpu=4)
