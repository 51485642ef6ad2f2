_base_ = "./pspnet_r50-d8_toy.py"

model = dict(backbone=dict(depth=101))
