# The ladder on a laptop: SegFormer-B0 on 24 drawn scenes, from random weights, a constant rate, plain
# cross-entropy, one scale. The larger set that step 1 learns from is data/toy.
_base_ = "../segformer/segformer_mit-b0_toy.py"

data_root = "data/toy_24"
drawing = dict(num_train=24, num_val=50, seed=1)
data = dict(
    train=dict(data_root=data_root, drawing=drawing),
    val=dict(data_root=data_root, drawing=drawing),
    test=dict(data_root=data_root, drawing=drawing),
)
optimizer = dict(lr=1e-3)
lr_config = dict(_delete_=True, policy="fixed", by_epoch=False)
runner = dict(max_iters=200)
checkpoint_config = dict(interval=200)
evaluation = dict(interval=200)
