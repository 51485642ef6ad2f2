# The teacher is the model that `make demo` trains.
_base_ = "./segformer-slim_toy.py"

model = dict(
    _delete_=True,
    type="ChannelWiseDistiller",
    student=dict(cfg={{_base_.model}}),
    teacher=dict(cfg="configs/segformer/segformer_mit-b0_toy.py", checkpoint="work_dirs/demo/latest.pth"),
    distillation=[dict(tau=4.0, weight=3.0)],
)
