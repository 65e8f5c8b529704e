-- Axis `noop`: the document changed.

return host.judge("noop", _CTX)
