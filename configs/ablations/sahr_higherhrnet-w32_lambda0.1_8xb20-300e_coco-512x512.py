_base_ = './sahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
# Table 5.
model = dict(head=dict(keypoint_loss=dict(regularizer_weight=0.1)))
