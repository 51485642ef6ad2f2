# The schedule of SegFormer (Xie et al. 2021, section 4.1): AdamW, a warmed-up linear descent to 0, and a
# head that learns ten times faster than the pretrained backbone.
_base_ = "./schedule_160k.py"

optimizer = dict(
    _delete_=True,
    type="AdamW",
    lr=6e-5,
    betas=(0.9, 0.999),
    weight_decay=0.01,
    paramwise_cfg=dict(
        custom_keys=dict(
            pos_block=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0),
            head=dict(lr_mult=10.0),
        )
    ),
)
lr_config = dict(power=1.0, min_lr=0.0, warmup="linear", warmup_iters=1500, warmup_ratio=1e-6)
