_base_ = "./segformer_mit-b1_512x512_160k_ade20k.py"

model = dict(backbone=dict(num_layers=[3, 4, 6, 3], init_cfg=dict(checkpoint="pretrain/mit_b2.pth")))
