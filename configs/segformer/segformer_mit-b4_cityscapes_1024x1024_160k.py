_base_ = "./segformer_mit-b1_cityscapes_1024x1024_160k.py"

model = dict(backbone=dict(num_layers=[3, 8, 27, 3], init_cfg=dict(checkpoint="pretrain/mit_b4.pth")))
