_base_ = "./segformer_mit-b1_camvid_256x256_4k.py"

model = dict(backbone=dict(num_layers=[3, 8, 27, 3]))
