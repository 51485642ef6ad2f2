# SegFormer-B0 learns from SegFormer-B5 (Shu et al. 2021); data and schedule are those of the student alone.
_base_ = "../segformer/segformer_mit-b0_kitti_368x368_10k.py"

model = dict(
    _delete_=True,
    type="ChannelWiseDistiller",
    student=dict(cfg={{_base_.model}}),
    teacher=dict(
        cfg="configs/segformer/segformer_mit-b5_kitti_368x368_20k.py",
        checkpoint="work_dirs/segformer_mit-b5_kitti_368x368_20k/latest.pth",
    ),
    distillation=[dict(tau=4.0, weight=3.0)],
)
