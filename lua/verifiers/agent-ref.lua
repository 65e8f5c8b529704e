-- Axis `agent-ref`: every agent reference in the document names a declared agent.

return host.judge("agent-ref", _CTX)
