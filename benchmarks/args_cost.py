"""What a job's args cost the API in µs of CPU: to read them, to write them, and to check that they read back the same.

Run by `python -m benchmarks.args_cost`.
"""

import json
import time
import timeit
from typing import Any

from benchmarks.peers.postlude_kinds import stamp
from jobs import Kind, load
from service.requests.requests import Requests

_TIMES, _ROUNDS = 2_000, 7
_ARGS: dict[str, dict[str, Any]] = {
    "bench_stamp": {"index": 1},
    "update_stats": {"subject": "page:1", "event": "view"},
    "send_webhook": {
        "url": "https://hooks.example.com/in?x=1",
        "event": "order.paid",
        "data": {"id": "o_1", "amount": 1999, "items": [{"sku": "a", "n": 2}] * 3},
        "headers": {"Authorization": "Bearer abcdefgh"},
    },
    "send_email": {"to": ["ann@example.com"], "subject": "Hello", "text": "x" * 500},
}


def main() -> None:
    catalogue = load()
    catalogue.add(stamp)
    requests = Requests(catalogue)
    print(f"{'kind':<14}{'read':>8}{'write':>8}{'check':>8}   µs for each job")
    for name, args in _ARGS.items():
        body = json.dumps({"kind": name, "args": args}).encode()
        kind: Kind[Any, Any] = catalogue[name]
        wanted = requests.one.validate_json(body)
        reading = _us(lambda body=body: requests.one.validate_json(body))
        writing = _us(lambda kind=kind, wanted=wanted: kind.write(wanted.args))
        both = _us(lambda kind=kind, wanted=wanted: kind.dump_args(wanted.args))
        print(f"{name:<14}{reading:>8.1f}{writing:>8.1f}{max(0.0, both - writing):>8.1f}")


def _us(call: Any) -> float:
    return min(timeit.repeat(call, timer=time.process_time, number=_TIMES, repeat=_ROUNDS)) / _TIMES * 1e6


if __name__ == "__main__":
    main()
