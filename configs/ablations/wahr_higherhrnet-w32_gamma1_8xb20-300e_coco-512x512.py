_base_ = './wahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
# Table 6.
model = dict(head=dict(keypoint_loss=dict(gamma=1.0)))
