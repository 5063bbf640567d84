_base_ = './swahr_higherhrnet-w48_8xb10-300e_crowdpose-640x640.py'
# Plain HigherHRNet under the schedule of SWAHR.
keypoint_loss = dict(scale_adaptive=False, weight_adaptive=False)
model = dict(head=dict(scale_maps=False, keypoint_loss=keypoint_loss))
