# CamVid at about half its size, for short runs without a GPU; test images have sides of multiples of 16.
_base_ = "./camvid.py"

crop_size = (128, 128)
train_pipeline = {{_base_.train_pipeline}}
train_pipeline[2] = dict(type="Resize", img_scale=(480, 360), ratio_range=(0.25, 0.75))
train_pipeline[3] = dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75)
train_pipeline[7] = dict(type="Pad", size=crop_size, pad_val=0, seg_pad_val=255)
test_pipeline = {{_base_.test_pipeline}}
test_pipeline[1]["img_scale"] = (240, 180)
test_pipeline[1]["transforms"].insert(1, dict(type="ResizeToMultiple", size_divisor=16))
data = dict(
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline),
)
