# What the KITTI recipes log and how often they evaluate.
_base_ = "./wandb_runtime.py"

val_interval = 500
workflow = [("train", val_interval), ("val", 1)]
customized_log_config = {{_base_.log_config}}
customized_log_config["hooks"][1]["commit"] = False
log_config = customized_log_config
