"""Paths below the one that a proxy publishes the API under."""

from urllib.parse import quote

from starlette.types import Scope


def mounted(scope: Scope, prefix: str) -> Scope:
    """Place a request under `prefix`, whether its proxy leaves the prefix in the path or takes it off."""
    path = scope["path"]
    if path != prefix and not path.startswith(f"{prefix}/"):
        path = prefix + path
    return {**scope, "root_path": prefix, "path": path}


def path_of(scope: Scope) -> str:
    """Return the path as the API itself knows it."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def job_path(scope: Scope, job_id: str) -> str:
    """Return where a job is, as clients see it."""
    return f"{scope.get('root_path', '')}/v1/jobs/{quote(job_id, safe='')}"
