"""MCP servers: a record for each tool call, standard output that belongs to the protocol, one place for all logs.

    mcp = MCPServer("search")
    logspool.basicConfig(service="search")
    logspool.mcp.instrument(mcp)

    if __name__ == "__main__":
        with logspool.mcp.guard_stdout():
            mcp.run("stdio")

Needs nothing but the SDK that the server is made with; it is imported by its own program, never here.
"""

from logspool.mcp._instrument import instrument, uninstrument
from logspool.mcp._stdout import StdoutGuard, guard_stdout

__all__ = ["StdoutGuard", "guard_stdout", "instrument", "uninstrument"]
