from tests.postgresql import postgresql  # noqa: F401 - a fixture
