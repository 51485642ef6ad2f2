# From random weights, short enough for a laptop. 224x224 crops make maps of whole 7x7 windows.
_base_ = [
    "../_base_/models/segformer_swin.py",
    "../_base_/datasets/camvid.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_400it.py",
]

crop_size = (224, 224)
train_pipeline = {{_base_.train_pipeline}}
train_pipeline[2] = dict(type="Resize", img_scale=(480, 360), ratio_range=(0.5, 1.25))
train_pipeline[3] = dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75)
train_pipeline[7] = dict(type="Pad", size=crop_size, pad_val=0, seg_pad_val=255)
model = dict(backbone=dict(drop_path_rate=0.0), decode_head=dict(num_classes=11))
data = dict(train=dict(pipeline=train_pipeline))
optimizer = dict(lr=6e-4)
