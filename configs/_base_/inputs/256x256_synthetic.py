# Codec and pipelines for synthetic people. Their mirror image is not a person
# (each joint has its own colour), so nothing is mirrored; and so that minutes
# of training are enough, the coordinates are exact and the augmentation small.
input_size = (256, 256)

codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=input_size,
    heatmap_sizes=[(64, 64), (128, 128)],
    sigma=2.0,
    unbiased=True,
    # So small a network sees many weak peaks where there is nothing.
    decode_keypoint_thr=0.3,
)

train_pipeline = [
    dict(type='BottomupLoadImage'),
    dict(
        type='BottomupRandomSquareAffine',
        input_size=input_size,
        rotation=10,
        scale=(0.75, 1.25),
        flip_prob=0.0,
    ),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='BottomupGetLossMask', unbiased=True),
    dict(type='BottomupPackInputs'),
]
val_pipeline = [
    dict(type='BottomupLoadImage'),
    dict(type='BottomupPyramidResize', input_size=input_size, unbiased=True),
    dict(type='BottomupPackInputs'),
]
