-- Axis `human-review`: a person has to approve every change. Off unless a setting names it.

return host.judge("human-review", _CTX)
