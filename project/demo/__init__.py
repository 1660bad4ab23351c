"""The whole thing on one machine: stand-in platform, worker, web site."""
