"""All chores of a worker, with their intervals: everything it does besides performing jobs.

The heartbeat alone is not in these lists: it has a thread of its own (`heartbeat.py`).
"""

from collections.abc import Callable

from service.chore import EACH_PASS, ONCE, Chore
from service.clocks import Clocks
from service.durability import Durability
from service.ledger.leases import HEARTBEAT_EVERY
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.worker.keeping.audit_log import AuditLog
from service.worker.keeping.cron import Cron
from service.worker.keeping.due_times import DueTimes
from service.worker.keeping.evictions import Evictions
from service.worker.keeping.figures import NOTED_EVERY, Figures, MergingOfFigures
from service.worker.keeping.followups import Followups
from service.worker.keeping.lanes import LaneKeeping
from service.worker.keeping.leadership import Leadership
from service.worker.keeping.priorities import Priorities
from service.worker.keeping.queue_watch import QueueWatch
from service.worker.keeping.redispatch import Redispatch
from service.worker.keeping.rescue import Rescue
from service.worker.keeping.sweep import Sweep
from service.worker.keeping.wishes import Wishes
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.performing.attempt import Performer


def chores_of(performer: Performer, lease: WorkerLease, sweep: Sweep) -> list[Chore]:
    """List the chores that every worker does, side by side."""
    stock = [Chore("stock worker", 10.0, performer.resources.queue.mark_stock_worker)]
    return [
        *(stock if performer.resources.settings.stock_worker else []),
        Chore("lease", 0.5, lease.begin_anew_if_lost),
        Chore("running rows", HEARTBEAT_EVERY.total_seconds(), lease.hand_back_unknown, waits=True),
        Chore("wishes", 0.5, Wishes(performer).look),
        Chore("pauses", 1.0, performer.pauses.look),
        Chore("log lines", 0.5, performer.recorded_log.record),
        Chore("cron", 0.25, Cron(performer.lifecycle).tick),
        Chore("durations", 10.0, performer.durations.tell),
        Chore("lane starts", 10.0, performer.lane_starts.tell),
        Chore("sweep", 1.0, sweep.sweep),
    ]


def sweep_of(resources: Resources, lifecycle: Lifecycle, worker_id: Callable[[], str]) -> Sweep:
    """Make the sweep. Its chores are done one after the other: some by every worker, most by the leader alone."""
    ledger, queue, redis = resources.ledger, resources.queue, resources.queue.redis
    leadership = Leadership(ledger, resources.process_id)
    durability = Durability(ledger.database, redis, resources.settings.queues)
    priorities, redispatch = Priorities(queue), Redispatch(ledger, queue)
    following = lifecycle.following
    due_times = DueTimes(ledger, resources.process_id, priorities, lifecycle.dispatcher, following)
    followups = Followups(ledger, following)
    lanes = LaneKeeping(ledger, queue)
    figures = Figures(ledger)
    watch = QueueWatch(queue, leadership, durability, redispatch)
    return Sweep(
        leadership,
        of_each_worker=[
            Chore("clocks", EACH_PASS, Clocks(ledger.database, redis).compare),  # they are measured every 30 s
            Chore("settings", ONCE, durability.check),
        ],
        of_the_leader=[
            Chore("due times", EACH_PASS, due_times.keep),
            Chore("rescue", EACH_PASS, Rescue(resources, lifecycle, worker_id).rescue),
            Chore("ends without followup", 5.0, followups.mend),
            Chore("followups", EACH_PASS, followups.follow_up),
            Chore("operations", 1.0, lifecycle.operations.adopt_orphans),
            # Without Redis, a pass ends here, except for the audit.
            Chore("queue", EACH_PASS, watch.look),
            Chore("lanes", EACH_PASS, watch.while_it_answers(lanes.keep)),
            Chore("priorities", EACH_PASS, watch.while_it_answers(priorities.move)),
            Chore("dispatch", EACH_PASS, watch.while_it_answers(redispatch.dispatch_for_a_while)),
            Chore("evictions", EACH_PASS, watch.once_all_is_dispatched(Evictions(ledger, queue).mend)),
            Chore("whole pass", EACH_PASS, watch.while_it_answers(watch.end_pass)),
            Chore("audit", 5.0, AuditLog(ledger).look, waits=True),
            Chore("series", NOTED_EVERY.total_seconds(), figures.note_totals),
            Chore("levels", NOTED_EVERY.total_seconds(), figures.note_levels, waits=True),
            Chore("old figures", 60.0, MergingOfFigures(ledger).merge, waits=True),
        ],
    )
