# With an auxiliary head on stage 3. Keeps a rolling `latest.pth` and the best weights, no others.
_base_ = "./segformer_mit-b1_kitti_368x368_10k.py"

model = dict(
    backbone=dict(num_layers=[3, 4, 6, 3], init_cfg=dict(checkpoint="pretrain/mit_b2.pth")),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=320,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg={{_base_.norm_cfg}},
        align_corners=False,
        loss_decode=dict(
            type="CrossEntropyLoss",
            use_sigmoid=False,
            loss_weight=0.4,
            avg_non_ignore=True,
            class_weight={{_base_.model.decode_head.loss_decode.class_weight}},
        ),
    ),
)
runner = dict(max_iters=20000)
checkpoint_config = dict(_delete_=True)
