_base_ = "./segformer_mit-b0_camvid_256x256_400it.py"

runner = dict(max_iters=4000)
checkpoint_config = dict(interval=4000)
evaluation = dict(interval=1000, save_best="mIoU")
