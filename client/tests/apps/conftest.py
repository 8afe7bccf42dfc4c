"""Each app is a project of its own, whose suite `client/tests/test_example_apps.py` runs in a process of its own."""

collect_ignore_glob = ["*/*"]
