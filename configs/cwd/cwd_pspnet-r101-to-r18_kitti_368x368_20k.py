# PSPNet with a ResNet-18 learns from one with a ResNet-101 (Shu et al. 2021); data and schedule are those of
# the student alone.
_base_ = "../pspnet/pspnet_r18-d8_kitti_368x368_20k.py"

model = dict(
    _delete_=True,
    type="ChannelWiseDistiller",
    student=dict(cfg={{_base_.model}}),
    teacher=dict(
        cfg="configs/pspnet/pspnet_r101-d8_kitti_368x368_20k.py",
        checkpoint="work_dirs/pspnet_r101-d8_kitti_368x368_20k/latest.pth",
    ),
    distillation=[dict(tau=4.0, weight=3.0)],
)
