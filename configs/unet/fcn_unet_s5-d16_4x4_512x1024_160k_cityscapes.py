# Meant for 4 GPUs with four crops each.
_base_ = [
    "../_base_/models/fcn_unet_s5-d16.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_160k.py",
]

model = dict(
    decode_head=dict(num_classes=19), auxiliary_head=dict(num_classes=19), test_cfg=dict(mode="whole")
)
data = dict(samples_per_gpu=4, workers_per_gpu=4)
