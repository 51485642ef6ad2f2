_base_ = [
    "../_base_/models/basicnet.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_80k.py",
]

model = dict(decode_head=dict(input_size=(512, 1024)))
optimizer = dict(_delete_=True, type="Adam", lr=3e-4)
