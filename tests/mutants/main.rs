//! `mutants`: shows that the suite catches deliberate mistakes in the Redis scripts. `make mutants`
//! calls it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use tests::mutants::{Caught, Mutant, Suite, Verdict, all};

/// Applies deliberate mistakes to the Redis scripts, one at a time, and runs the tests that must
/// fail. The exit status is 1 if no test caught a mistake, or if a mistake can no longer be
/// applied.
#[derive(Debug, Parser)]
struct Args {
    /// Only mutants whose script or description contains this text.
    #[arg(default_value = "")]
    filter: String,
    /// The number of mutants that run at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print the mutants and their tests without running them.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut mutants = match all() {
        Ok(mutants) => mutants,
        Err(problem) => {
            say(&format!("mutants: {problem}"));
            return ExitCode::FAILURE;
        }
    };
    mutants.retain(|m| m.script.contains(&args.filter) || m.breaks.contains(&args.filter));
    if args.list {
        for m in &mutants {
            say(&format!(
                "{}: {}\n    {}",
                m.script,
                m.breaks,
                m.caught_by.join(" ")
            ));
        }
        return ExitCode::SUCCESS;
    }
    match run(&mutants, args.jobs.max(1)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            say(&format!("mutants: {problem}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the mutants and returns how many were not caught.
fn run(mutants: &[Mutant], jobs: usize) -> Result<usize, String> {
    let suite = Suite::build()?;
    let began = Instant::now();
    let mut tests: Vec<String> = mutants.iter().flat_map(|m| m.caught_by.clone()).collect();
    tests.sort_unstable();
    tests.dedup();
    suite
        .passes(&tests)
        .map_err(|log| format!("the tests fail without any mutation: {log}"))?;
    say(&format!(
        "mutants: {} tests pass without any mutation; {} mutants follow",
        tests.len(),
        mutants.len()
    ));
    let (queue, bad) = (Mutex::new(mutants.iter()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(mutant) = next(&queue) {
                    let verdict = suite.try_mutant(mutant);
                    if !matches!(verdict, Verdict::Caught(_)) {
                        *bad.lock().expect("no holder of this lock panics") += 1;
                    }
                    say(&line(mutant, &verdict));
                }
            });
        }
    });
    let bad = bad.into_inner().expect("no holder of this lock panics");
    say(&format!(
        "mutants: {} caught, {bad} not caught, {:.0} s",
        mutants.len() - bad,
        began.elapsed().as_secs_f64()
    ));
    Ok(bad)
}

fn next<'a>(queue: &Mutex<std::slice::Iter<'a, Mutant>>) -> Option<&'a Mutant> {
    queue.lock().expect("no holder of this lock panics").next()
}

fn line(mutant: &Mutant, verdict: &Verdict) -> String {
    let (word, detail) = match verdict {
        Verdict::Caught(Caught::Failed) => ("caught", String::new()),
        Verdict::Caught(Caught::TimedOut) => ("caught", " (timed out)".to_owned()),
        Verdict::Lived => ("LIVED", format!(" ({})", mutant.caught_by.join(", "))),
        Verdict::Invalid(why) => ("INVALID", format!(" ({why})")),
    };
    format!("{word:8} {}: {}{detail}", mutant.script, mutant.breaks)
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn say(line: &str) {
    println!("{line}");
}
