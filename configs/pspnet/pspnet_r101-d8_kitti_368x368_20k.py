_base_ = "./pspnet_r50-d8_kitti_368x368_20k.py"

model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
