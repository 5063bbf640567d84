_base_ = '../coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
# Learned scales alone, lambda = 1: Tables 3 to 5.
model = dict(head=dict(keypoint_loss=dict(weight_adaptive=False)))
