"""What notebooks and tools call."""

from mmseg.apis.inference import inference_segmentor, init_segmentor, show_result_pyplot
from mmseg.apis.test import multi_gpu_test, single_gpu_test
from mmseg.apis.train import init_random_seed, train_segmentor
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import set_random_seed

__all__ = [
    "get_root_logger",
    "inference_segmentor",
    "init_random_seed",
    "init_segmentor",
    "multi_gpu_test",
    "set_random_seed",
    "show_result_pyplot",
    "single_gpu_test",
    "train_segmentor",
]
