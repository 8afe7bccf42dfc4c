"""The queue: ids of due jobs in Redis, under arq's own key names. Everything in it can be rebuilt from the ledger."""

from service.queue.arq_job import ArqJob, NotAnArqJob, read_arq_job
from service.queue.arq_protocol import Again, Payload, Result
from service.queue.claiming import ASIDE_FOR, CLAIM_HOLD_MS, Claimed, Taken
from service.queue.codec import MAX_PAYLOAD_BYTES, PayloadUnreadable, deserialize, is_own_payload, serialize
from service.queue.connection import UNREACHABLE, arq_settings, open_redis
from service.queue.entry import LONGEST_ID, PRIORITY_STEP, Entry
from service.queue.fitness import refuse_unfit
from service.queue.keys import aside_key_of, key_of, low_key_of
from service.queue.lane_state import NO_CLAIM_MS, BreakerChange, Holder, LaneState, Release, Verdict
from service.queue.lanes import Lanes, Runs
from service.queue.mending import Member
from service.queue.probe import Probe, Refusal
from service.queue.queue import Queue
from service.queue.refusals import is_not_allowed, refusal_of
from service.queue.room import NOTHING, Left, Room

__all__ = [
    "ASIDE_FOR",
    "CLAIM_HOLD_MS",
    "LONGEST_ID",
    "MAX_PAYLOAD_BYTES",
    "NOTHING",
    "NO_CLAIM_MS",
    "PRIORITY_STEP",
    "UNREACHABLE",
    "Again",
    "ArqJob",
    "BreakerChange",
    "Claimed",
    "Entry",
    "Holder",
    "LaneState",
    "Lanes",
    "Left",
    "Member",
    "NotAnArqJob",
    "Payload",
    "PayloadUnreadable",
    "Probe",
    "Queue",
    "Refusal",
    "Release",
    "Result",
    "Room",
    "Runs",
    "Taken",
    "Verdict",
    "arq_settings",
    "aside_key_of",
    "deserialize",
    "is_not_allowed",
    "is_own_payload",
    "key_of",
    "low_key_of",
    "open_redis",
    "read_arq_job",
    "refusal_of",
    "refuse_unfit",
    "serialize",
]
