_base_ = "./segformer_mit-b0_toy_step5_multi_scale.py"

model = dict(
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=160,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg={{_base_.norm_cfg}},
        align_corners=False,
        loss_decode=dict(
            type="CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4, class_weight={{_base_.class_weight}}
        ),
    )
)
