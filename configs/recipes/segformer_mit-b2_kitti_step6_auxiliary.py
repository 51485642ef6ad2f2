# The end of the ladder: segformer_mit-b2_kitti_368x368_20k.py from Cityscapes weights.
_base_ = "./segformer_mit-b2_kitti_step5_multi_scale.py"

model = dict(
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
            class_weight={{_base_.class_weight}},
        ),
    )
)
