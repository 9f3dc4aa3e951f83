"""What Forewarn promises, measured. Each module is a command: `python -m benchmarks.NAME`."""
