_base_ = "./segformer_mit-b1_toy.py"

model = dict(backbone=dict(num_layers=[3, 6, 40, 3]))
