_base_ = "./segformer_mit-b0_toy_step4_ohem.py"

train_pipeline = {{_base_.train_pipeline}}
train_pipeline.insert(
    2, dict(type="Resize", img_scale=[(312, 96), (416, 128), (520, 160)], multiscale_mode="value")
)
train_pipeline.insert(-2, dict(type="Pad", size={{_base_.crop_size}}, pad_val=0, seg_pad_val=255))
test_pipeline = {{_base_.test_pipeline}}
test_pipeline[1].update(img_ratios=[0.75, 1.0, 1.25], flip=True)
data = dict(
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline),
)
