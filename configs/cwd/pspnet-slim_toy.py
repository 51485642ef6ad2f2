# A student for the toy scenes: PSPNet on a ResNet-18 of a quarter of the channels.
_base_ = "../pspnet/pspnet_r18-d8_toy.py"

model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    decode_head=dict(in_channels=128, channels=32),
    auxiliary_head=dict(in_channels=64, channels=16),
)
