//! Fail points: named places at which a test kills or stops a process or injects a fault.
//!
//! They exist only in builds with the feature `fail-points`, which the test rig enables. In every
//! other build they are empty functions. The variable `FAILPOINTS` configures them in the syntax of
//! the crate `fail`. For example, `claim.after=3*off->1*return(kill)` skips three calls and kills
//! the process at the fourth.
//!
//! | action | effect |
//! |---|---|
//! | `return(kill)` | the process gets SIGKILL |
//! | `return(stop)` | the process gets SIGSTOP and continues at SIGCONT |
//! | `sleep(ms)` | the thread blocks |
//! | `panic` | the thread panics |
//! | `return(<text>)` at a point that injects a fault | the fault happens, with that text |
//!
//! The variable `DRAFTSMAN_TEST_EVENTS` names a file. [`event`] appends one JSON object per line to
//! it: `name` and the fields. Tests wait for these events instead of words in the log.
//!
//! The variable `DRAFTSMAN_TEST_SCRIPTS_DIR` names a directory. Files in it replace Redis scripts
//! of the same name. So mutations of scripts are tested without a build (`make mutants`).

#[cfg(feature = "fail-points")]
mod armed {
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;

    use rustix::process::{Signal, getpid, kill_process};

    use crate::ids::IssueId;

    /// Evaluates a fail point that can kill or stop the process.
    pub fn pass(name: &str) {
        let signal = match fault(name).as_deref() {
            Some("kill") => Signal::KILL,
            Some("stop") => Signal::STOP,
            _ => return,
        };
        tracing::error!(name, ?signal, "fail point");
        // The own process always exists.
        let _sent = kill_process(getpid(), signal);
        // The signal may reach another thread first, and this one must not go on until it stops.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }

    /// Evaluates the fail point `<name>:<issue_id>`.
    pub fn pass_with(name: &str, issue: &IssueId) {
        pass(&format!("{name}:{issue}"));
    }

    /// Returns the fault to inject at this point, or `None`.
    pub fn fault(name: &str) -> Option<String> {
        fail::fail_point!(name, |text| text);
        None
    }

    /// Appends an event to the file in `DRAFTSMAN_TEST_EVENTS`, if the variable is set.
    pub fn event(name: &str, fields: &[(&str, &dyn Display)]) {
        let Some(path) = std::env::var_os("DRAFTSMAN_TEST_EVENTS") else {
            return;
        };
        let mut line = serde_json::Map::new();
        line.insert("name".to_owned(), name.into());
        for (field, value) in fields {
            line.insert((*field).to_owned(), value.to_string().into());
        }
        let line = format!("{}\n", serde_json::Value::from(line));
        // One write, so that lines of several threads do not mix.
        let file = File::options().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            tracing::error!(name, %error, "a test event was not written");
        }
    }

    /// Reads `FAILPOINTS`. Call it once, before anything else.
    pub fn arm() {
        // The scenario ends with the process.
        std::mem::forget(fail::FailScenario::setup());
    }

    /// Returns the Redis script `file`: the one in `DRAFTSMAN_TEST_SCRIPTS_DIR` if it is readable,
    /// otherwise `embedded`.
    pub fn script(file: &str, embedded: &'static str) -> Cow<'static, str> {
        let dir = std::env::var_os("DRAFTSMAN_TEST_SCRIPTS_DIR");
        let text = dir.and_then(|dir| std::fs::read_to_string(Path::new(&dir).join(file)).ok());
        text.map_or(Cow::Borrowed(embedded), Cow::Owned)
    }
}

#[cfg(not(feature = "fail-points"))]
mod armed {
    use std::borrow::Cow;
    use std::fmt::Display;

    use crate::ids::IssueId;

    /// Evaluates a fail point that can kill or stop the process.
    #[inline]
    pub fn pass(_name: &str) {}

    /// Evaluates the fail point `<name>:<issue_id>`.
    #[inline]
    pub fn pass_with(_name: &str, _issue: &IssueId) {}

    /// Returns the fault to inject at this point, or `None`.
    #[inline]
    pub fn fault(_name: &str) -> Option<String> {
        None
    }

    /// Appends an event to the file in `DRAFTSMAN_TEST_EVENTS`, if the variable is set.
    #[inline]
    pub fn event(_name: &str, _fields: &[(&str, &dyn Display)]) {}

    /// Reads `FAILPOINTS`. Call it once, before anything else.
    #[inline]
    pub fn arm() {}

    /// Returns `embedded`.
    #[inline]
    pub fn script(_file: &str, embedded: &'static str) -> Cow<'static, str> {
        Cow::Borrowed(embedded)
    }
}

pub use self::armed::{arm, event, fault, pass, pass_with, script};
