# The schedule of Swin (Liu et al. 2021): that of SegFormer, but position tables do not decay, and the head
# learns at the rate of the backbone.
_base_ = "./adamw_160k.py"

optimizer = dict(
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys=dict(
            absolute_pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0),
        ),
    )
)
