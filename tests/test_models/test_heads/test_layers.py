import pytest
import torch
from mmpose.models.backbones.resnet import BasicBlock
from torch import nn

from swahr_mmpose.models.heads.layers import (
    make_deconv_stage,
    make_dilated_block,
)


@pytest.mark.parametrize('dilation', [1, 2, 3])
def test_both_convolutions_are_dilated_and_keep_the_size(dilation):
    block = make_dilated_block(4, dilation)
    for conv in (block.conv1, block.conv2):
        assert conv.dilation == conv.padding == (dilation, dilation)
    assert block(torch.randn(1, 4, 9, 7)).shape == (1, 4, 9, 7)


def test_the_receptive_field_grows_with_the_dilation():
    for dilation in (1, 2):
        block = make_dilated_block(1, dilation)
        for conv in (block.conv1, block.conv2):
            nn.init.ones_(conv.weight)
        block.eval()
        image = torch.zeros(1, 1, 21, 21, requires_grad=True)
        (block(image + 1)[0, 0, 10, 10]).backward()
        reached = image.grad[0, 0].nonzero()
        assert reached.min() == 10 - 2 * dilation
        assert reached.max() == 10 + 2 * dilation


def test_without_dilation_it_is_mmposes_block():
    ours, theirs = make_dilated_block(4), BasicBlock(4, 4)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


def test_names_of_weights_do_not_depend_on_the_dilation():
    plain, dilated = (make_deconv_stage(6, 4, d) for d in ((1, 1), (2, 3)))
    assert list(plain.state_dict()) == list(dilated.state_dict())
    assert dilated(torch.randn(1, 6, 5, 5)).shape == (1, 4, 10, 10)
