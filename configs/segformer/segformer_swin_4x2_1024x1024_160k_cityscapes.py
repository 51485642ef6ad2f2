# Historic name, kept for existing commands.
_base_ = "./segformer_swin-t_cityscapes_1024x1024_160k.py"
