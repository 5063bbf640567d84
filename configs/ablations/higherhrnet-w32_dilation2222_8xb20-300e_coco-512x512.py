_base_ = './higherhrnet-w32_fine-level_8xb20-300e_coco-512x512.py'
# Table 7: a larger receptive field at the 1/2 level.
model = dict(head=dict(dilations=(2, 2, 2, 2)))
