"""All faults that `make mutants` plants."""

from typing import Final

from tests.mutants.fault import Fault
from tests.mutants.in_collector import IN_COLLECTOR
from tests.mutants.in_schemas import IN_SCHEMAS
from tests.mutants.in_sinks import IN_SINKS
from tests.mutants.in_streams import IN_STREAMS

EVERY: Final[tuple[Fault, ...]] = (*IN_STREAMS, *IN_SINKS, *IN_COLLECTOR, *IN_SCHEMAS)
