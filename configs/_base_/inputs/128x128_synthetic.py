# Codec and pipelines of the study on synthetic people: 256x256_synthetic.py at
# a quarter of the time per step, with the official threshold of 0.1.
input_size = (128, 128)

codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=input_size,
    heatmap_sizes=[(32, 32), (64, 64)],
    sigma=2.0,
    sparse_heatmaps=True,
    unbiased=True,
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
