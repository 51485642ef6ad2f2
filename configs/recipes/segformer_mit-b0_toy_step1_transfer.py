_base_ = "./segformer_mit-b0_toy_step0_random.py"

load_from = "work_dirs/segformer_mit-b0_toy/latest.pth"  # of configs/segformer/segformer_mit-b0_toy.py
