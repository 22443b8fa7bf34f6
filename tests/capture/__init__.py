"""What becomes a diff: a file for each kind of write."""

import pytest

pytest.register_assert_rewrite("tests.capture.case")
