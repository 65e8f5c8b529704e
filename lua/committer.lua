-- Combines the verdicts into `$.commit`; see `worker/src/flow/bundled/commit.rs`.

return host.commit(_CTX)
