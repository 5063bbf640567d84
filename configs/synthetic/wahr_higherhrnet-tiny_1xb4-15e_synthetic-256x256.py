_base_ = './swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
# Adaptive weights alone, for tools/analysis_tools/ablation.py.
keypoint_loss = dict(scale_adaptive=False)
model = dict(head=dict(scale_maps=False, keypoint_loss=keypoint_loss))
