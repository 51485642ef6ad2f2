_base_ = "./deeplabv3plus_r50-d8_kitti_368x368_40k.py"

model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
