"""A bucket for tests: moto's S3 server, in a thread."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "files"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}


@contextmanager
def running_bucket() -> Iterator[tuple[str, Any]]:
    """Serve an empty bucket on a free port; yield where, and a client of it."""
    import boto3  # type: ignore[import-untyped]  # late, as moto: they take two seconds
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    try:
        yield endpoint, client
    finally:
        server.stop()
