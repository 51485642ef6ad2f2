_base_ = "./segformer_mit-b2_kitti_step0_imagenet.py"

load_from = "checkpoints/segformer_mit-b2_8x1_1024x1024_160k_cityscapes_20211207_134205-6096669a.pth"
