_base_ = [
    "../_base_/models/basicnet.py",
    "../_base_/datasets/toy.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(decode_head=dict(input_size=(128, 256)))
channels_last = True
