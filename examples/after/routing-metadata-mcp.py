"""MCP server over stdio: was the right tool chosen for a task, and what came of it.

Tools: `validate_routing`, `track_routing`, `routing_summary`. Environment: LOG_DIR, LOG_LEVEL.
"""

import logging
from collections import Counter
from typing import Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

import logspool.mcp

logspool.basicConfig(service="routing-metadata")
logger = logging.getLogger("routing-metadata")

# Domain → words that give it away, and the tool that serves it.
DOMAINS: dict[str, tuple[frozenset[str], str]] = {
    "version_control": (frozenset({"commit", "branch", "merge", "diff"}), "git-mcp"),
    "file_system": (frozenset({"file", "folder", "directory", "path"}), "filesystem-mcp"),
    "web": (frozenset({"website", "page", "url", "download"}), "fetch-mcp"),
    "inference": (frozenset({"summarize", "translate", "explain", "draft"}), "llm-inference"),
}
TOOLS = frozenset(tool for _, tool in DOMAINS.values())

tracked: dict[str, Counter[str]] = {}

mcp = MCPServer("routing-metadata")


def detect_domain(task: str) -> str | None:
    """The domain whose words the task has most of; None if it has none."""
    words = set(task.lower().split())
    hits = {domain: len(words & clues) for domain, (clues, _) in DOMAINS.items()}
    best = max(hits, key=lambda domain: hits[domain])
    return best if hits[best] else None


def judge(task: str, selected_tool: str, session_id: str) -> dict[str, Any]:
    """The routing record: what was chosen, and what should have been."""
    domain = detect_domain(task)
    recommended = DOMAINS[domain][1] if domain else None
    return {
        "selected_tool": selected_tool,
        "recommended_tool": recommended,
        "is_compliant": recommended in (None, selected_tool),
        "detected_domain": domain,
        "session_id": session_id,
    }


@mcp.tool()
def validate_routing(task: str, selected_tool: str, session_id: str) -> dict[str, Any]:
    """Checks, before a tool is called, that it is the one for the task."""
    if selected_tool not in TOOLS:
        logger.error("no such tool: %s", selected_tool, extra={"tool": "validate_routing", "session_id": session_id})
        raise ToolError(f"no such tool: {selected_tool!r}; known are {', '.join(sorted(TOOLS))}")
    routing = judge(task, selected_tool, session_id)
    routing["status"] = "approved" if routing["is_compliant"] else "rejected"
    logger.log(
        logging.INFO if routing["is_compliant"] else logging.WARNING,
        "routing to %s %s (recommended: %s)",
        selected_tool,
        routing["status"],
        routing["recommended_tool"],
        extra={"event": "routing_validated", "tool": "validate_routing", **routing},
    )
    return routing


@mcp.tool()
def track_routing(
    task: str, selected_tool: str, session_id: str, status: Literal["success", "failure"]
) -> dict[str, Any]:
    """Books what came of a call that was routed to a tool."""
    routing = judge(task, selected_tool, session_id) | {"status": status}
    tracked.setdefault(session_id, Counter())[status] += 1
    logger.info(
        "routing to %s tracked: %s",
        selected_tool,
        status,
        extra={"event": "routing_tracked", "tool": "track_routing", **routing},
    )
    return routing


@mcp.tool()
def routing_summary(session_id: str) -> dict[str, int]:
    """How the tracked calls of a session went."""
    if session_id not in tracked:
        logger.warning("unknown session", extra={"tool": "routing_summary", "session_id": session_id})
        raise ToolError(f"nothing tracked for session {session_id!r}")
    logger.info("routing summary", extra={"tool": "routing_summary", "session_id": session_id})
    return dict(tracked[session_id])


def main() -> None:
    logspool.mcp.instrument(mcp)
    logspool.mcp.guard_stdout()
    mcp.run("stdio")


if __name__ == "__main__":
    main()
