# Historic name, kept for existing commands: it trains on 512x375 crops.
_base_ = "./basicnet_kitti_512x375_180e.py"
