_base_ = './higherhrnet-w48_8xb10-300e_crowdpose-640x640.py'
# Backbone of a model trained on COCO; the head (14 keypoints) is initialised.
work_dir_of_coco = 'work_dirs/higherhrnet-w48_8xb10-300e_coco-640x640'
checkpoint = f'{work_dir_of_coco}/epoch_300.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))
