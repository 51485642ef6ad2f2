_base_ = "./segformer_mit-b0_toy_step2_poly.py"

# 1 / ln(pixels of the class) over the 24 masks, scaled to a mean of 1.
class_weight = [
    0.878,
    0.957,
    0.906,
    0.995,
    1.048,
    0.98,
    1.074,
    1.044,
    0.968,
    0.992,
    0.899,
    1.024,
    1.085,
    1.032,
    1.05,
    0.977,
    1.007,
    1.018,
    1.065,
]
model = dict(decode_head=dict(loss_decode=dict(class_weight=class_weight)))
