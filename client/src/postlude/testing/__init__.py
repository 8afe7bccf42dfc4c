"""What tests assert about the jobs that the code under test enqueues. The pytest plugin watches these."""

from postlude.testing.asserting import assert_enqueued as assert_enqueued
from postlude.testing.asserting import refute_enqueued as refute_enqueued
from postlude.testing.draining import drain as drain
from postlude.testing.watching import Enqueued as Enqueued
from postlude.testing.watching import enqueued as enqueued
