from settlements.tests.conftest import approve, market  # noqa: F401  (fixtures)
