"""Redis as the keeper of jobs, results and candidates."""
