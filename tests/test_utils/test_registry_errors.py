import pytest
from mmengine.registry import Registry, init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

import swahr_mmpose  # noqa: F401  (registers everything)
from swahr_mmpose.utils.registry_errors import BuildError, build_errors

PARENT = Registry('shape', scope='parent')
SHAPES = Registry('shape', parent=PARENT, scope='child')


@PARENT.register_module()
class Circle:
    def __init__(self, radius, filled=False):
        self.radius, self.filled = radius, filled


@SHAPES.register_module()
class Disc(Circle):
    def __init__(self, color='red', **kwargs):
        super().__init__(**kwargs)


@SHAPES.register_module()
class Broken:
    def __init__(self):
        raise TypeError('a bug')


@SHAPES.register_module()
class Refusing:
    def __init__(self):
        raise ValueError('a value')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(type='Disk'), "'Disk' is unknown .*, did you mean 'Disc'"),
        (dict(type='Circl'), "'Circl' is unknown .*'shape'"),
        (dict(type='Disc'), "lacks 'radius'; add it"),
        (
            dict(type='Disc', radius=1, colour=''),
            "Disc has no argument 'colour', did you mean 'color'.*color, ra",
        ),
        (
            dict(type='Disc', radius=1, fill=1),
            "did you mean 'filled'.; expected some of color, radius, filled",
        ),
    ],
)
def test_an_unknown_type_or_argument_is_named(settings, message):
    with pytest.raises(BuildError, match=message), build_errors():
        SHAPES.build(settings)


def test_other_errors_and_valid_settings_are_unchanged():
    with pytest.raises(TypeError, match='a bug'), build_errors():
        SHAPES.build(dict(type='Broken'))
    with pytest.raises(KeyError, match='x'), build_errors():
        {}['x']
    with build_errors():
        assert SHAPES.build(dict(type='Disc', radius=2)).radius == 2


def test_an_unknown_argument_of_a_loop_or_data_loader_is_named():
    build = Runner.build_dataloader
    settings = dict(dataset=[0], sampler=[0], batchsize=4)
    with pytest.raises(BuildError, match="no argument 'batchsize'; correct"):
        with build_errors():
            build(settings)


def test_a_value_that_a_class_of_this_package_refuses_is_named():
    """Values that classes of others refuse keep their traceback."""
    settings = dict(
        type='HigherHRNetHead',
        in_channels=4,
        num_keypoints=2,
        scale_maps=False,
        keypoint_loss=dict(type='SWAHRLoss'),
    )
    init_default_scope('mmpose')
    with pytest.raises(BuildError, match=r'^HigherHRNetHead: scale_maps=Fal'):
        with build_errors():
            MODELS.build(settings)
    with pytest.raises(ValueError, match='a value') as caught, build_errors():
        SHAPES.build(dict(type='Refusing'))
    assert not isinstance(caught.value, BuildError)


def test_a_value_that_the_data_loader_refuses_is_named():
    settings = dict(
        dataset=[0],
        batch_size=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    with pytest.raises(BuildError, match='data loader: batch_size should be'):
        with build_errors():
            Runner.build_dataloader(settings)
