# As in the KITTI recipes; the report says what stands in segformer_mit-b2_kitti_step4_ohem_as_reported.py.
_base_ = "./segformer_mit-b2_kitti_step3_class_balanced.py"

model = dict(decode_head=dict(sampler=dict(type="OHEMPixelSampler", min_kept=100000)))
