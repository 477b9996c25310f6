"""The Model Context Protocol: search and document tools for assistants. Needs the extra `mcp`."""
