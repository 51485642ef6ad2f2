_base_ = "./segformer_mit-b2_kitti_step2_poly.py"

model = dict(decode_head=dict(loss_decode=dict(class_weight={{_base_.class_weight}})))
