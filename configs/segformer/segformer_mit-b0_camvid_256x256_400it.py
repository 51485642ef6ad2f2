# From random weights, short enough for a laptop; segformer_mit-b0_camvid_256x256_4k.py is the long run.
_base_ = [
    "../_base_/models/segformer_mit-b0.py",
    "../_base_/datasets/camvid.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(decode_head=dict(num_classes=11))
optimizer = dict(lr=6e-4)
