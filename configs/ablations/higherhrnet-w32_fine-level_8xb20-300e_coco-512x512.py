_base_ = '../coco/higherhrnet-w32_8xb20-300e_coco-512x512.py'
# Tables 7 (dilation 1111) and 8 (sigma 2): tested with the heatmaps of the
# 1/2 level alone; trained as its base.
model = dict(test_cfg=dict(heatmap_levels=(1,)))
