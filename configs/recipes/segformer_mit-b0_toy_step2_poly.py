_base_ = "./segformer_mit-b0_toy_step1_transfer.py"

lr_config = dict(policy="poly", power=1.0, min_lr=0.0, warmup="linear", warmup_iters=15, warmup_ratio=1e-5)
