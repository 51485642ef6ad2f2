# From random weights, as all toy recipes.
_base_ = [
    "../_base_/models/pspnet_r50-d8.py",
    "../_base_/datasets/toy.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(pretrained=None)
channels_last = True
