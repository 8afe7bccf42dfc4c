"""An app whose function `call_app` calls: `python -m benchmarks.called_app PORT`."""

import sys

import uvicorn
from fastapi import FastAPI
from postlude.fastapi import Postlude

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def nothing(number: int) -> int:
    return number


def make_app() -> FastAPI:
    app = FastAPI()
    # What is called is in a listed module, so that nothing needs to be enqueued first.
    Postlude(app, name="bench", url="http://127.0.0.1:9", secret=SECRET, modules=["benchmarks.called_app"])
    return app


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.called_app:make_app", factory=True, port=int(sys.argv[1]), log_level="critical", access_log=False
    )
