"""`precision: auto` is float32 here on every machine: most tolerances are narrow."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _without_bfloat16():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snakecap.device.cpu_has_bfloat16", lambda: False)
        yield
