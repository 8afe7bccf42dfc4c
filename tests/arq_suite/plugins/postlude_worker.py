"""A pytest plugin that puts Postlude's worker in the place of arq's before any test imports it."""

import arq
import arq.worker

from service.worker.worker import Worker

arq.worker.Worker = arq.Worker = Worker  # type: ignore[misc]
