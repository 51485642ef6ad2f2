# From random weights, short enough for a laptop.
_base_ = [
    "../_base_/models/deeplabv3plus_r50-d8.py",
    "../_base_/datasets/camvid_half.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(
    pretrained=None,
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128, c1_in_channels=64, c1_channels=12, num_classes=11),
    auxiliary_head=dict(in_channels=256, channels=64, num_classes=11),
)
data = dict(samples_per_gpu=8)
channels_last = True
