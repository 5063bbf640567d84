_base_ = './swahr_higherhrnet-w32_8xb20-300e_crowdpose-512x512.py'
# Backbone of a model trained on COCO; the head (14 keypoints) is initialised.
work_dir_of_coco = 'work_dirs/swahr_higherhrnet-w32_8xb20-300e_coco-512x512'
checkpoint = f'{work_dir_of_coco}/epoch_300.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))
