# KITTI semantic segmentation, crops of a random scale, tested at one scale.
_base_ = "./imagenet_norm.py"

dataset_type = "KittiSegDataset"
data_root = "data/kitti-seg-competition/seg_data_processed"
crop_size = (864, 256)  # recorded with the published runs; the pipeline crops (512, 375)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="Resize", img_scale=(1242, 375), ratio_range=(0.5, 2.0)),
    dict(type="RandomCrop", crop_size=(512, 375), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="Normalize", **{{_base_.img_norm_cfg}}),
    dict(type="Pad", size=(512, 375), pad_val=0, seg_pad_val=255),
    dict(type="DefaultFormatBundle"),
    dict(type="Collect", keys=["img", "gt_semantic_seg"]),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="MultiScaleFlipAug",
        img_scale=(1242, 375),
        flip=False,
        transforms=[
            dict(type="Resize", keep_ratio=True),
            dict(type="RandomFlip"),
            dict(type="Normalize", **{{_base_.img_norm_cfg}}),
            dict(type="ImageToTensor", keys=["img"]),
            dict(type="Collect", keys=["img"]),
        ],
    ),
]
data = dict(
    samples_per_gpu=4,
    workers_per_gpu=4,
    train=dict(
        type=dataset_type,
        data_root=data_root,
        img_dir="img_dir/train",
        ann_dir="ann_dir/train",
        pipeline=train_pipeline,
    ),
    val=dict(
        type=dataset_type,
        data_root=data_root,
        img_dir="img_dir/val",
        ann_dir="ann_dir/val",
        pipeline=test_pipeline,
    ),
    test=dict(
        type=dataset_type,
        data_root=data_root,
        img_dir="img_dir/val",
        ann_dir="ann_dir/val",
        pipeline=test_pipeline,
    ),
)
