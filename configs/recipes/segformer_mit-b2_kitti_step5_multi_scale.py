_base_ = "./segformer_mit-b2_kitti_step4_ohem.py"

train_pipeline = {{_base_.train_pipeline}}
train_pipeline[2] = dict(
    type="Resize",
    img_scale=[(621, 187), (931, 281), (1242, 375), (1552, 469), (1863, 562), (2173, 656)],
    multiscale_mode="value",
)
test_pipeline = {{_base_.test_pipeline}}
test_pipeline[1].update(img_ratios=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True)
data = dict(
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline),
)
