"""nagsdk for coding agents: tools of an MCP server, and a skill that explains the command line."""
