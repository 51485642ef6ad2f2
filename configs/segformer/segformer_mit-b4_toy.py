_base_ = "./segformer_mit-b1_toy.py"

model = dict(backbone=dict(num_layers=[3, 8, 27, 3]))
