"""A finished miniature run, shared by all tests of the workflow."""

import pytest
from checkout import Checkout


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The miniature run, done once."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    checkout.snakemake()
    return checkout
