# Pascal VOC 2012 with the masks of SBD: 10582 images for training.
_base_ = "./pascal_voc12.py"

data = dict(
    train=dict(
        ann_dir=["SegmentationClass", "SegmentationClassAug"],
        split=["ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/aug.txt"],
    )
)
