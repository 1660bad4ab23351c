"""The demo: sandbox, worker and web site on one machine."""
