_base_ = './swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
# Learned scales alone, for tools/analysis_tools/ablation.py.
model = dict(head=dict(keypoint_loss=dict(weight_adaptive=False)))
