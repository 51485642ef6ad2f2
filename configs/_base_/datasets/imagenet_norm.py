# Mean and standard deviation of ImageNet's pixels, per RGB channel, which pretrained weights expect.
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
