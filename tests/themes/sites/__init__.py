"""Settings of hosts with one theme each."""
