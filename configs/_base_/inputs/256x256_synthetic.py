# Codec and pipelines for synthetic people. No horizontal flip: each joint has
# its own colour, so a flipped person is not a valid one. Unbiased coordinates
# and weak augmentation make minutes of training sufficient.
input_size = (256, 256)

codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=input_size,
    heatmap_sizes=[(64, 64), (128, 128)],
    sigma=2.0,
    sparse_heatmaps=True,
    unbiased=True,
    # So small a network has many weak false positives.
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
