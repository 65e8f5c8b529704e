-- Axis `agent-ref`: wherever the document names an agent, the agent is declared.

return host.judge("agent-ref", _CTX)
