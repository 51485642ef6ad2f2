_base_ = "./upernet_swin_tiny_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K.py"

model = dict(
    backbone=dict(
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        init_cfg=dict(checkpoint="pretrain/swin_base_patch4_window7_224.pth"),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
