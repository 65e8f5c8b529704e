//! Tests of the time limit, the cancellation and the memory limit of a run.

use std::time::Instant;

use super::*;
use crate::flow::error::FlowError;

#[tokio::test]
async fn the_time_limit_interrupts_whatever_lua_does() {
    for source in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) return f() end return f()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "table.sort({3, 2, 1}, function(a, b) while true do end end)",
        "return (('x'):gsub('x', function() while true do end end))",
        "for _ in pairs(_CTX) do while true do end end",
        "goto again ::again:: goto again",
    ] {
        for name in ["patch_spawner.lua", "verifiers/des.lua"] {
            let bench = Bench::with_scripts(&[(name, source)]);
            let mut issue = input(TARGET, "tag x");
            issue.time_limit = Duration::from_millis(60);
            let started = Instant::now();
            let error = bench.run(issue).await.decision.unwrap_err();
            assert!(
                matches!(error, FlowError::TimeLimit { .. }),
                "{source}: {error:?}"
            );
            assert!(started.elapsed() < Duration::from_secs(10), "{source}");
            assert!(!error.is_transient());
        }
    }
}

#[tokio::test]
async fn a_try_does_not_catch_the_time_limit() {
    let bench = Bench::with_scripts(&[
        ("endless.lua", "while true do end"),
        ("raise.lua", "error('no', 0)"),
    ]);
    let orbit = |script: &str| {
        let text = format!(
            "id: o
agents: [{{name: a, kind: lua, spec: {{fn_id: {script}}}}}, {{name: b, kind: lua, spec: {{fn_id: deny}}}}]
flow: {{kind: try, err_at: {{op: path, at: $.err}},
        body: {{kind: step, ref: a, in: {{op: path, at: $}}, out: {{op: path, at: $.x}}}},
        catch: {{kind: let, at: ctx.commit, value: {{op: lit, value:
          {{committed: false, reasons: [caught], rationale: '', verdicts_summary: []}}}}}}}}
"
        );
        // The second agent is declared and never runs.
        Blueprint::parse(&text.replace("fn_id: deny", "fn_id: raise")).unwrap()
    };
    let run = async |script: &str| {
        let mut issue = input(TARGET, "tag x");
        issue.time_limit = Duration::from_millis(60);
        bench
            .host
            .run(
                &bench
                    .host
                    .compile(&orbit(script), None, &AxisOptions::new())
                    .unwrap(),
                issue,
                &CancellationToken::new(),
            )
            .await
    };
    assert!(matches!(
        run("endless").await.decision.unwrap_err(),
        FlowError::TimeLimit { .. }
    ));
    assert!(matches!(
        run("raise").await.decision.unwrap(),
        Decision::Deny { .. }
    ));
}

#[tokio::test]
async fn a_cancel_stops_a_script() {
    let bench = Bench::with_scripts(&[("patch_spawner.lua", "while true do end")]);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(
        bench.host.run(&bench.orbit, input(TARGET, "x"), &cancel),
        async move {
            stop.cancel();
        }
    );
    assert!(matches!(outcome.decision, Err(FlowError::Cancelled)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn memory_is_bounded() {
    for source in [
        "return string.rep('x', 1 << 40)",
        "return string.rep('x', 1 << 30)",
        "local t = {} while true do t[#t + 1] = string.rep('x', 1000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
    ] {
        let bench = Bench::with_scripts(&[("patch_spawner.lua", source)]);
        let text = bench
            .run(input(TARGET, "x"))
            .await
            .decision
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("exceeded the memory limit of")
                || text.contains("resulting string too large"),
            "{source}: {text}"
        );
    }
    // Shared tables are expanded in the output, whose size is limited as well.
    let bench = Bench::with_scripts(&[(
        "patch_spawner.lua",
        "local t = {'x'} for _ = 1, 60 do t = {t, t} end return t",
    )]);
    let text = bench
        .run(input(TARGET, "x"))
        .await
        .decision
        .unwrap_err()
        .to_string();
    assert!(text.contains("larger than 32 MiB"), "{text}");
    let bench = Bench::with_scripts(&[("patch_spawner.lua", "local t = {} t[1] = t return t")]);
    let text = bench
        .run(input(TARGET, "x"))
        .await
        .decision
        .unwrap_err()
        .to_string();
    assert!(text.contains("within themselves"), "{text}");
}
