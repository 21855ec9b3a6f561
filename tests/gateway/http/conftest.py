"""The routes are imported here first: the framework deprecates how parameters are named, which is no test's fault."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Deprecated '", category=DeprecationWarning)
    import gateway.http.context  # noqa: F401 - for what it does
