_base_ = './swahr_higherhrnet-w32_8xb20-300e_coco-512x512_multi-scale-1.5.py'
# Writes the file that the COCO server evaluates (Tables 1 and 2): zip
# work_dirs/NAME_OF_THIS_CONFIG.keypoints.json as the server's page says.
ann_file = 'annotations/image_info_test-dev2017.json'
dataset = dict(ann_file=ann_file, data_prefix=dict(img='test2017/'))
test_dataloader = dict(dataset=dataset)
test_evaluator = dict(
    ann_file=_base_.data_root + ann_file,
    format_only=True,
    outfile_prefix='work_dirs/{{ fileBasenameNoExtension }}',
)
