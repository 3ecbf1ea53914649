"""The small data sets that several modules train on."""

import pytest
from operator_toys import darcy_data, fisher_data, plate_data


@pytest.fixture(scope="module")
def fisher():
    return fisher_data()


@pytest.fixture(scope="module")
def darcy():
    return darcy_data()


@pytest.fixture(scope="module")
def plate():
    return plate_data()
