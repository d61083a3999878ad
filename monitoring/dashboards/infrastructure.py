"""Infrastructure: what the pods, the nodes and the database have left.

In a cluster cAdvisor, the kubelet and node exporter tell; on a single machine node exporter and the
processes themselves do, and the same panels show that.
"""

from __future__ import annotations

from monitoring.dashboards import panels
from monitoring.dashboards.board import Board, Row, mode
from monitoring.dashboards.queries import (
    Query,
    firing,
    held_against_limits,
    ours,
    quantile,
    rate,
)

from threshold_operator.model.catalogue import Catalogue

ALERTS = "StocksDiskSpaceLow|StocksMemoryUsageHigh|StocksDatabaseConnectionFailed"
PODS = ('pod=~"$release.*"', 'container!=""')
DATABASE = {1: ("UP", panels.GREEN), 0: ("DOWN", panels.RED)}
# Pseudo file systems are never full, and the kubelet's mounts show the same disk again.
NO_PSEUDO = 'fstype!~"tmpfs|ramfs|overlay|squashfs|fuse.*|nsfs"'
DISKS = f'{{{NO_PSEUDO},mountpoint!~"/(etc|usr/lib/modules|var/lib/kubelet)(/.+)?"}}'
WIRES = '{device!~"lo|veth.+|cali.+|cni.+"}'


def infrastructure(catalogue: Catalogue) -> Board:
    """Of one release's pods, and of every node that is scraped."""
    return Board(
        uid="stocks-infrastructure",
        title="Infrastructure",
        text="CPU, memory, disk and network of the pods and nodes; the database.",
        by_release=True,
        rows=[
            Row("Is all well?", _at_a_glance()),
            Row("Pods", _pods(catalogue)),
            Row("Nodes", _nodes()),
            Row("Disks", _disks(catalogue)),
            Row("Database", _database(catalogue)),
        ],
    )


def _at_a_glance() -> list[panels.Built]:
    return [
        mode(),
        panels.none_is_well("Alerts firing", "Disk, memory and database.", firing(ALERTS)),
        panels.none_is_well(
            "Targets down",
            "Of this namespace, that Prometheus could not scrape.",
            f"count({ours('up')} == 0) or vector(0)",
        ),
        panels.words(
            "Database", "Whether the last query succeeded.", f"min({ours('database_up')})", DATABASE
        ),
        panels.number(
            "Least disk space",
            "Of all file systems of the nodes, what is free.",
            f"min(node_filesystem_avail_bytes{DISKS} / node_filesystem_size_bytes{DISKS})",
            "percentunit",
            decimals=0,
            no_value="no node exporter",
        ),
        panels.number(
            "Least node memory",
            "Of all nodes, what is available.",
            "min(node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
            "percentunit",
            decimals=0,
            no_value="no node exporter",
        ),
    ]


def _pods(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksMemoryUsageHigh")
    cpu = rate("container_cpu_usage_seconds_total", *PODS, by="pod, container")
    memory = ours("container_memory_working_set_bytes", *PODS)
    return [
        panels.lines(
            "CPU by container",
            "In cores; process: what a program says of itself, in a pod or not.",
            [
                Query(cpu, "{{pod}} {{container}}"),
                Query(rate("process_cpu_seconds_total", by="job"), "process {{job}}"),
            ],
            "cores",
            width=8,
        ),
        panels.lines(
            "Memory by container",
            "The working set, which the kernel can't take back; process: resident.",
            [
                Query(f"sum by (pod, container) ({memory})", "{{pod}} {{container}}"),
                Query(f"sum by (job) ({ours('process_resident_memory_bytes')})", "process {{job}}"),
            ],
            "bytes",
            width=8,
        ),
        panels.lines(
            "Memory used of the limit, and the limits in force",
            "At 1 the kernel ends the container. Dashed: where StocksMemoryUsageHigh fires.",
            limited,
            unit,
            width=8,
            no_value="no container has a memory limit here",
        ),
        panels.lines(
            "Network by pod",
            "Received above, sent below 0. A process of its own has no such count.",
            [
                Query(_pod_traffic("receive"), "{{pod}} in"),
                Query(f"-{_pod_traffic('transmit')}", "{{pod}} out"),
            ],
            "Bps",
            no_value="no pod: this machine is not a cluster",
        ),
        panels.bars(
            "Starts of programs",
            "A start that nobody asked for is a crash: see the log of the one before.",
            [Query(f"sum by (job) (changes({ours('process_start_time_seconds')}[5m]))", "{{job}}")],
            "short",
        ),
    ]


def _pod_traffic(direction: str) -> str:
    metric = f"container_network_{direction}_bytes_total"
    return rate(metric, 'pod=~"$release.*"', by="pod")


def _nodes() -> list[panels.Built]:
    idle = 'avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))'
    used = "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"
    return [
        panels.lines(
            "CPU in use by node",
            "1: all cores are busy.",
            [Query(f"1 - {idle}", "{{instance}}")],
            "percentunit",
            width=8,
            no_value="no node exporter",
        ),
        panels.lines(
            "Memory in use by node",
            "What is not available to programs, as a part of all.",
            [Query(used, "{{instance}}")],
            "percentunit",
            width=8,
            no_value="no node exporter",
        ),
        panels.lines(
            "Network by node",
            "Received above, sent below 0; without loopback and the pods' own wires.",
            [
                Query(_node_traffic("receive"), "{{instance}} in"),
                Query(f"-{_node_traffic('transmit')}", "{{instance}} out"),
            ],
            "Bps",
            width=8,
            no_value="no node exporter",
        ),
    ]


def _node_traffic(direction: str) -> str:
    counted = f"rate(node_network_{direction}_bytes_total{WIRES}[$__rate_interval])"
    return f"sum by (instance) ({counted})"


def _disks(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksDiskSpaceLow")
    free = f"node_filesystem_avail_bytes{DISKS} / node_filesystem_size_bytes{DISKS}"
    volumes = " / ".join(
        ours(f"kubelet_volume_stats_{part}_bytes") for part in ("available", "capacity")
    )
    return [
        panels.lines(
            "Free disk space and its limits",
            "As StocksDiskSpaceLow reads it, volumes and nodes. Dashed: the limits in force.",
            limited,
            unit,
            no_value="neither kubelet nor node exporter is scraped",
        ),
        panels.lines(
            "Free disk space by file system and volume",
            "As a part of the size.",
            [
                Query(free, "{{instance}} {{mountpoint}}"),
                Query(volumes, "volume {{persistentvolumeclaim}}"),
            ],
            "percentunit",
            no_value="neither kubelet nor node exporter is scraped",
        ),
    ]


def _database(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksDatabaseConnectionFailed")
    queries = "database_query_duration_seconds"
    return [
        panels.lines(
            "Time since the last query, and its limits",
            "Asked every few seconds. Dashed: the limits in force.",
            limited,
            unit,
            width=8,
        ),
        panels.lines(
            "Queries by operation",
            "Per second.",
            [Query(rate(f"{queries}_count", by="operation"), "{{operation}}")],
            "ops",
            width=8,
        ),
        panels.lines(
            "Time of queries by operation, p95",
            "95 of 100 were quicker.",
            [Query(quantile(0.95, queries, by="operation"), "{{operation}}")],
            "s",
            width=8,
        ),
    ]
