_base_ = "./segformer_mit-b0_512x512_160k_ade20k.py"

model = dict(
    backbone=dict(embed_dims=64, init_cfg=dict(checkpoint="pretrain/mit_b1.pth")),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
)
