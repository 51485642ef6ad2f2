"""What every benchmark script shares: timing in turn, hardware limits, the machine, tables and records."""
