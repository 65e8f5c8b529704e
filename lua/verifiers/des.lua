-- Axis `des`: the document keeps its `id`, `flow` is an object, `agents` an array of objects with
-- unique names, and `metadata.version_label`, if present, is a semantic version.

return host.judge("des", _CTX)
