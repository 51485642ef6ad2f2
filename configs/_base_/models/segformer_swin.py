# Swin-T (Liu et al. 2021) under SegFormer's head, with plain cross-entropy.
_base_ = "./segformer_swin_balanced.py"

model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0)
    )
)
