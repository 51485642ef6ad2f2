# Historic name, kept for existing commands: it trains 20k iterations on 368x368 crops.
_base_ = "./segformer_swin-t_kitti_368x368_20k.py"
