"""What the machinery itself costs: driver, agreement, gate and ledger around work of a known price."""
