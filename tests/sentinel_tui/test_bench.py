import json
import subprocess
import sys


def test_bench_prints_every_figure_and_a_card_takes_less_than_a_kilobyte() -> None:
    command = [sys.executable, "-m", "sentinel_tui", "bench", "--json", "--transactions", "1000", "--cards", "10000"]
    done = subprocess.run([*command, "--latency-seconds", "1"], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert set(figures) == {
        "pipeline_per_s",
        "floor_per_s",
        "pipeline_over_floor",
        "score_us_per_tx",
        "decode_us_per_tx",
        "commit_us_per_tx",
        "forest",
        "latency_ms",
        "bytes_per_card",
        "bytes_per_card_with_labels",
        "cost_of_many_cards",
        "peak_rss_mb",
    }
    assert set(figures["forest"]) == {"sklearn_row_us", "served_row_us", "sklearn_batch_us", "served_batch_us"}
    assert set(figures["latency_ms"]) == {"p50", "p99"}
    leaves = [leaf for value in figures.values() for leaf in (value.values() if isinstance(value, dict) else [value])]
    assert all(leaf > 0 for leaf in leaves)
    assert figures["bytes_per_card"] < 1024
