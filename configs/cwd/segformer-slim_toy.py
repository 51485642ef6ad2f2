# A student for the toy scenes: SegFormer with one block a stage, half the channels of B0 and a narrow head.
_base_ = "../segformer/segformer_mit-b0_toy.py"

model = dict(
    backbone=dict(embed_dims=16, num_layers=[1, 1, 1, 1]),
    decode_head=dict(in_channels=[16, 32, 80, 128], channels=64),
)
runner = dict(max_iters=400)
checkpoint_config = dict(interval=400)
evaluation = dict(interval=400)
