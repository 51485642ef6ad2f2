_base_ = "./segformer_mit-b1_kitti_368x368_10k.py"

model = dict(backbone=dict(num_layers=[3, 4, 18, 3], init_cfg=dict(checkpoint="pretrain/mit_b3.pth")))
data = dict(samples_per_gpu=2)
lr_config = dict(warmup_iters=5000)
runner = dict(max_iters=20000)
