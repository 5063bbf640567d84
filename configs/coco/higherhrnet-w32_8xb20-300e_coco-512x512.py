_base_ = './swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
# Plain HigherHRNet under the schedule of SWAHR: the baseline of Table 3.
keypoint_loss = dict(scale_adaptive=False, weight_adaptive=False)
model = dict(head=dict(scale_maps=False, keypoint_loss=keypoint_loss))
