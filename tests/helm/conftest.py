import pytest

from tests.helm.rendering import Rendered, gather, profiles, render


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    return gather(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session", params=profiles())
def rendered(chart, request) -> Rendered:
    return render(chart, request.param)
