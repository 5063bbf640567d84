# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Extensions of the MMEngine runner."""
