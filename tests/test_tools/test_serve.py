"""A checkpoint is served with the interface of the exported model."""

import socket
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.tools import CONFIG

from swahr_mmpose.commands.serve import CheckpointModel, main


class StubInferencer:
    """Inferencer that returns one person, whose score is the first channel."""

    metainfo = dict(
        keypoint_id2name={1: 'chin', 0: 'nose'}, skeleton_links=[(0, 1)]
    )
    model = SimpleNamespace(test_cfg=dict(output_scales=True))
    ignore_orientation = False

    def __call__(self, image):
        yield SimpleNamespace(
            keypoints=np.ones((1, 2, 2), np.float32),
            keypoint_scores=np.ones((1, 2), np.float32),
            scores=image[0, 0, :1].astype(np.float32),
            filled=np.zeros((1, 2), bool),
            sigmas=np.full((1, 2), 3.0, np.float32),
        )


def test_settings_are_those_of_the_dataset():
    settings = CheckpointModel(StubInferencer()).settings
    assert settings.keypoints == ['nose', 'chin']
    assert settings.skeleton == [(0, 1)]
    assert settings.output_scales


@pytest.mark.parametrize(('order', 'first'), [('bgr', 1), ('rgb', 3)])
def test_the_model_reads_bgr(order, first):
    image = np.tile(np.array([1, 2, 3], np.uint8), (4, 4, 1))
    poses = CheckpointModel(StubInferencer())(image, order)
    assert poses.scores.tolist() == [first]
    (person,) = poses.as_dicts(['nose', 'chin'])
    assert person['sigmas'] == dict(nose=3.0, chin=3.0)


def test_a_model_is_an_onnx_file_or_config_and_checkpoint():
    with pytest.raises(SystemExit, match=f'no checkpoint for {CONFIG}'):
        main([CONFIG, '--port', '0'])
    with pytest.raises(SystemExit, match='a file .onnx, or CONFIG CHECKPOINT'):
        main(['a.onnx', 'b.pth'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--port', '99999'], '--port is 99999, expected 0 to 65535'),
        (['--timeout', '0'], '--timeout is 0.0, expected a positive'),
        (['--port', '0'], 'absent.onnx'),
    ],
)
def test_errors_are_one_sentence(options, message):
    pytest.importorskip('uvicorn')
    with pytest.raises(SystemExit, match=message):
        main(['absent.onnx', *options])


def test_a_port_in_use_is_named_with_the_remedy(tmp_path):
    pytest.importorskip('uvicorn')
    (tmp_path / 'a.onnx').touch()
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit, match=f'port {port} .*--port 0') as end:
            main([str(tmp_path / 'a.onnx'), '--port', port])
    assert str(end.value).count('127.0.0.1') == 1
    assert str(end.value).count(port) == 1


@pytest.mark.parametrize('host', ['192.0.2.1', 'host.invalid'])
def test_an_address_of_no_machine_is_named_with_the_remedy(host, tmp_path):
    pytest.importorskip('uvicorn')
    (tmp_path / 'a.onnx').touch()
    message = f'cannot listen on {host}, .*this machine as --host$'
    with pytest.raises(SystemExit, match=message):
        main([str(tmp_path / 'a.onnx'), '--host', host])
