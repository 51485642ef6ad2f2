# Historic name, kept for existing commands: it trains 10k iterations on 368x368 crops.
_base_ = "./segformer_mit-b0_kitti_368x368_10k.py"
