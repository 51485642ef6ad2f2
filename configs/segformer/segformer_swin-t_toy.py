_base_ = [
    "../_base_/models/segformer_swin.py",
    "../_base_/datasets/toy.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

model = dict(backbone=dict(drop_path_rate=0.0))
