"""Config files in the format of MMSegmentation 0.25; imports neither torch nor numpy."""

from mmseg.config.config import Config, ConfigDict, DictAction, check_config

__all__ = ["Config", "ConfigDict", "DictAction", "check_config"]
