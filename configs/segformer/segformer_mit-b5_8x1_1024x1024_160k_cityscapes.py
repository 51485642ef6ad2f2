# Historic name, kept for existing commands.
_base_ = "./segformer_mit-b5_cityscapes_1024x1024_160k.py"
