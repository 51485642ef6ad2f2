_base_ = "./basicnet_kitti_512x375_180e.py"

crop_size = (512, 375)
workflow = [("train", 1)]
runner = dict(max_epochs=1000)
