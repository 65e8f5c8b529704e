//! Named places at which a test can make a program die, stand still or meet a fault.
//!
//! They exist only in builds with the feature `fail-points`, which the test rig asks for; in every
//! other build they are empty functions. The variable `FAILPOINTS` says what happens where, in the
//! language of the crate `fail`: `claim.after=3*off->1*return(kill)` lets three calls pass and
//! kills the process at the fourth.
//!
//! | action | what happens |
//! |---|---|
//! | `return(kill)` | the process gets SIGKILL |
//! | `return(stop)` | the process gets SIGSTOP, and goes on when somebody continues it |
//! | `sleep(ms)`, `panic` | as they say; `sleep` blocks the thread |
//! | `return(<text>)` at a place that asks for a fault | the fault happens, with that text |
//!
//! The variable `DRAFTSMAN_TEST_SCRIPTS_DIR` names a directory whose files replace Redis scripts of the
//! same name, so that mutations of scripts are tested without a build (`make mutants`).

#[cfg(feature = "fail-points")]
mod armed {
    use std::borrow::Cow;
    use std::path::Path;

    use rustix::process::{Signal, getpid, kill_process};

    use crate::ids::IssueId;

    /// Passes a place at which the process may be made to die or stand still.
    pub fn pass(name: &str) {
        let signal = match fault(name).as_deref() {
            Some("kill") => Signal::KILL,
            Some("stop") => Signal::STOP,
            _ => return,
        };
        tracing::error!(name, ?signal, "fail point");
        // Our own process is always there.
        let _sent = kill_process(getpid(), signal);
    }

    /// Passes such a place with one issue: `<name>:<issue_id>`.
    pub fn pass_with(name: &str, issue: &IssueId) {
        pass(&format!("{name}:{issue}"));
    }

    /// The fault that is to happen here, if one is.
    pub fn fault(name: &str) -> Option<String> {
        fail::fail_point!(name, |text| text);
        None
    }

    /// Reads `FAILPOINTS`. Call once, first thing.
    pub fn arm() {
        // The scenario ends with the process.
        std::mem::forget(fail::FailScenario::setup());
    }

    /// Returns the Redis script `file`: the one in `DRAFTSMAN_TEST_SCRIPTS_DIR` if it can be read, otherwise
    /// `embedded`.
    pub fn script(file: &str, embedded: &'static str) -> Cow<'static, str> {
        let dir = std::env::var_os("DRAFTSMAN_TEST_SCRIPTS_DIR");
        let text = dir.and_then(|dir| std::fs::read_to_string(Path::new(&dir).join(file)).ok());
        text.map_or(Cow::Borrowed(embedded), Cow::Owned)
    }
}

#[cfg(not(feature = "fail-points"))]
mod armed {
    use std::borrow::Cow;

    use crate::ids::IssueId;

    /// Passes a place at which the process may be made to die or stand still.
    #[inline]
    pub fn pass(_name: &str) {}

    /// Passes such a place with one issue: `<name>:<issue_id>`.
    #[inline]
    pub fn pass_with(_name: &str, _issue: &IssueId) {}

    /// The fault that is to happen here, if one is.
    #[inline]
    pub fn fault(_name: &str) -> Option<String> {
        None
    }

    /// Reads `FAILPOINTS`. Call once, first thing.
    #[inline]
    pub fn arm() {}

    /// Returns `embedded`.
    #[inline]
    pub fn script(_file: &str, embedded: &'static str) -> Cow<'static, str> {
        Cow::Borrowed(embedded)
    }
}

pub use self::armed::{arm, fault, pass, pass_with, script};
