-- Axis `noop`: the document has changed.

return host.judge("noop", _CTX)
