# Historic name, kept for existing commands: it trains on 368x368 crops.
_base_ = "./pspnet_r18-d8_kitti_368x368_20k.py"
