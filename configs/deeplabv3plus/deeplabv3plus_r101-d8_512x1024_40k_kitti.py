# Historic name, kept for existing commands: it trains on 368x368 crops.
_base_ = "./deeplabv3plus_r101-d8_kitti_368x368_40k.py"
