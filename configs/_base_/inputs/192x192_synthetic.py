# Codec and pipelines of the quick start: 256x256_synthetic.py at half the time
# per step.
input_size = (192, 192)

codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=input_size,
    heatmap_sizes=[(48, 48), (96, 96)],
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
