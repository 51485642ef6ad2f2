# Of a 128x256 crop the hardest 24,000 pixels: the share that 100,000 are of a 368x368 crop.
_base_ = "./segformer_mit-b0_toy_step3_class_balanced.py"

model = dict(decode_head=dict(sampler=dict(type="OHEMPixelSampler", min_kept=24000)))
