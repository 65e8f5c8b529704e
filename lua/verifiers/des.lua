-- Axis `des`: what the patch left is still the Blueprint that it was: the same `id`, `flow` an object,
-- `agents` an array of objects with unique names, `metadata.version_label`, if present, a semantic version.

return host.judge("des", _CTX)
