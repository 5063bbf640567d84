_base_ = '../coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
# Adaptive weights alone, gamma = 0.01: Tables 3 and 6.
keypoint_loss = dict(scale_adaptive=False)
model = dict(head=dict(scale_maps=False, keypoint_loss=keypoint_loss))
