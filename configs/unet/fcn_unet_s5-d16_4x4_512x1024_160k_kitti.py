# Historic name, kept for existing commands: it trains on 368x368 crops.
_base_ = "./fcn_unet_s5-d16_kitti_368x368_160k.py"
