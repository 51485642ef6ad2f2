_base_ = "./upernet_swin_tiny_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K.py"

model = dict(
    backbone=dict(
        depths=[2, 2, 18, 2], init_cfg=dict(checkpoint="pretrain/swin_small_patch4_window7_224.pth")
    )
)
