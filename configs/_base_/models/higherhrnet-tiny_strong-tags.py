# higherhrnet-tiny.py with twice the official weights of the tag loss: after a
# short training, fewer keypoints are grouped with another person.
_base_ = './higherhrnet-tiny.py'
tag_loss = dict(pull_weight=2e-3, push_weight=1e-3)
model = dict(head=dict(tag_loss=tag_loss))
