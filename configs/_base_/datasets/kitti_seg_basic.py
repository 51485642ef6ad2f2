# KITTI semantic segmentation, 368x368 crops of six scales, tested at six scales and flipped.
_base_ = "./kitti_seg.py"

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(
        type="Resize",
        img_scale=[(621, 187), (931, 281), (1242, 375), (1552, 469), (1863, 562), (2173, 656)],
        multiscale_mode="value",
    ),
    dict(type="RandomCrop", crop_size=(368, 368), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="Normalize", **{{_base_.img_norm_cfg}}),
    dict(type="Pad", size=(368, 368), pad_val=0, seg_pad_val=255),
    dict(type="DefaultFormatBundle"),
    dict(type="Collect", keys=["img", "gt_semantic_seg"]),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="MultiScaleFlipAug",
        img_scale=(1280, 384),
        img_ratios=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75],
        flip=True,
        transforms=[
            dict(type="Resize", keep_ratio=False),
            dict(type="ResizeToMultiple", size_divisor=32),
            dict(type="RandomFlip"),
            dict(type="Normalize", **{{_base_.img_norm_cfg}}),
            dict(type="ImageToTensor", keys=["img"]),
            dict(type="Collect", keys=["img"]),
        ],
    ),
]
data = dict(
    samples_per_gpu=8,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline),
)
