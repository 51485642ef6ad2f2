_base_ = [
    "../_base_/models/fcn_unet_s5-d16.py",
    "../_base_/datasets/toy.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(
    decode_head=dict(num_classes=19), auxiliary_head=dict(num_classes=19), test_cfg=dict(mode="whole")
)
channels_last = True
