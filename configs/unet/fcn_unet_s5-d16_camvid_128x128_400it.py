# From random weights, short enough for a laptop.
_base_ = [
    "../_base_/models/fcn_unet_s5-d16.py",
    "../_base_/datasets/camvid_half.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(
    decode_head=dict(num_classes=11), auxiliary_head=dict(num_classes=11), test_cfg=dict(mode="whole")
)
channels_last = True
