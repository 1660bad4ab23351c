"""A database for the cache table alone, outside the rules that guard the other one."""
