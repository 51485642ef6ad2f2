# The teacher comes from `python tools/train.py configs/pspnet/pspnet_r18-d8_toy.py`.
_base_ = "./pspnet-slim_toy.py"

model = dict(
    _delete_=True,
    type="ChannelWiseDistiller",
    student=dict(cfg={{_base_.model}}),
    teacher=dict(
        cfg="configs/pspnet/pspnet_r18-d8_toy.py", checkpoint="work_dirs/pspnet_r18-d8_toy/latest.pth"
    ),
    distillation=[dict(tau=4.0, weight=3.0)],
)
