# Meant to start from Cityscapes weights (`--load-from`), on 4 GPUs with two crops each. Only the hardest
# 100,000 pixels of an image count, and the class weights are a list of its own.
_base_ = [
    "../_base_/models/segformer_swin.py",
    "../_base_/datasets/kitti_seg_basic.py",
    "../_base_/kitti_runtime.py",
    "../_base_/schedules/adamw_160k.py",
]

checkpoint_file = "checkpoints/swin_tiny_patch4_window7_224_22k.pth"
model = dict(
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint_file)),
    decode_head=dict(
        sampler=dict(type="OHEMPixelSampler", min_kept=100000),
        loss_decode=dict(
            avg_non_ignore=True,
            class_weight=[
                0.74928016,
                0.84599227,
                0.80983893,
                0.94461,
                0.94403714,
                0.91394077,
                1.03971502,
                0.94605021,
                0.73242514,
                0.79119748,
                0.78673501,
                1.14044977,
                1.30447229,
                0.81121395,
                1.11445713,
                1.18535591,
                0.95353713,
                1.72195258,
                1.2647391,
            ],
        ),
    ),
)
data = dict(samples_per_gpu=2)
optimizer = dict(lr=1e-5)
lr_config = dict(warmup_iters=5000, warmup_ratio=1e-5)
runner = dict(max_iters=20000)
checkpoint_config = dict(_delete_=True)
evaluation = dict(interval={{_base_.val_interval}}, save_best="mIoU")
