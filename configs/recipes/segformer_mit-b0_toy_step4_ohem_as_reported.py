# The report's 10,000 pixels of a 368x368 crop are 2,400 of a 128x256 crop.
_base_ = "./segformer_mit-b0_toy_step3_class_balanced.py"

model = dict(decode_head=dict(sampler=dict(type="OHEMPixelSampler", thresh=0.5, min_kept=2400)))
