# Codec and pipelines of one input size. A config that changes the size or the
# codec must set the pipelines too: MMEngine does not re-evaluate them.
input_size = (512, 512)
# The paper gives (0.75, 1.25); the released configs use 1.5. A config that
# sets another range must set the pipeline too, as
# ablations/swahr_higherhrnet-w32_scale1.25_*.py does.
scale_range = (0.75, 1.5)

codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=input_size,
    heatmap_sizes=[(128, 128), (256, 256)],
    sigma=2.0,
    sparse_heatmaps=True,
)

train_pipeline = [
    dict(type='BottomupLoadImage'),
    dict(
        type='BottomupRandomSquareAffine',
        input_size=input_size,
        scale=scale_range,
    ),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='BottomupGetLossMask'),
    dict(type='BottomupPackInputs'),
]
val_pipeline = [
    dict(type='BottomupLoadImage'),
    dict(type='BottomupPyramidResize', input_size=input_size),
    dict(type='BottomupPackInputs'),
]
