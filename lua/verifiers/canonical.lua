-- Axis `canonical`: reading the new document's YAML and writing it again gives the same hash.

return host.judge("canonical", _CTX)
