-- Axis `canonical`: parsing the new document's YAML and serialising it again gives the same hash.

return host.judge("canonical", _CTX)
