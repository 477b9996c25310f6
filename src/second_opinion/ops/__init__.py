"""The local stack without Docker: real servers and workers, started, watched and stopped as one."""
