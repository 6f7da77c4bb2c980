"""The pipeline of `docker.local.services`, under the name the tests know."""

from docker.local.services import CommandFailedError, Pipeline, Service, python

__all__ = ["CommandFailedError", "Pipeline", "Service", "python"]
