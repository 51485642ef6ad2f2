# Where the ladder begins: SegFormer-B2, ImageNet weights, a constant rate, plain cross-entropy, one scale.
_base_ = [
    "../_base_/models/segformer_mit-b0_balanced.py",
    "../_base_/datasets/kitti_seg_basic.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/adamw_160k.py",
]

class_weight = {{_base_.model.decode_head.loss_decode.class_weight}}  # used from step 3 on
train_pipeline = {{_base_.train_pipeline}}
train_pipeline[2] = dict(type="Resize", img_scale=(1242, 375))
test_pipeline = {{_base_.test_pipeline}}
test_pipeline[1].update(img_ratios=None, flip=False)
model = dict(
    backbone=dict(
        embed_dims=64,
        num_layers=[3, 4, 6, 3],
        init_cfg=dict(type="Pretrained", checkpoint="pretrain/mit_b2.pth"),
    ),
    decode_head=dict(
        _delete_=True,
        type="SegformerHead",
        in_channels=[64, 128, 320, 512],
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg={{_base_.norm_cfg}},
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True),
    ),
)
data = dict(
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline),
)
optimizer = dict(lr=1e-5)
lr_config = dict(_delete_=True, policy="fixed", by_epoch=False)
runner = dict(max_iters=20000)
checkpoint_config = dict(_delete_=True)
evaluation = dict(interval={{_base_.val_interval}}, save_best="mIoU")
