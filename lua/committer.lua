-- Draws the verdicts together into `$.commit`; `worker/src/flow/bundled/commit.rs` says how.

return host.commit(_CTX)
