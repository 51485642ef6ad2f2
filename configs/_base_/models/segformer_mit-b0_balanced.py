# Rare classes weigh more (Cui et al. 2019), and of each image only the hardest 100,000 pixels count
# (OHEM, Shrivastava et al. 2016).
_base_ = "./segformer_mit-b0.py"

model = dict(
    decode_head=dict(
        sampler=dict(type="OHEMPixelSampler", min_kept=100000),
        loss_decode=dict(
            avg_non_ignore=True,
            # From how often each of the 19 classes occurs in KITTI's training masks. The list stands only
            # here: elsewhere name it, as segformer_mit-b2_kitti_368x368_20k.py does.
            class_weight=[
                0.75952312,
                0.8523161,
                0.80858376,
                0.94312681,
                0.95249373,
                0.91668514,
                1.02670926,
                0.99855901,
                0.74849044,
                0.8041853,
                0.79715573,
                1.14388026,
                1.28290288,
                0.82965688,
                1.04470749,
                1.17929034,
                1.32624767,
                1.40595936,
                1.17952672,
            ],
        ),
    )
)
