//! A pool of reusable interpreters that runs scripts.
//!
//! Creating an interpreter and compiling its scripts takes some hundred microseconds, more than the
//! scripts take on a small document. An interpreter runs one script at a time. It returns to the
//! pool after the script has ended normally. An interrupted interpreter is discarded, because its
//! state is unknown.
//!
//! If all scripts are bundled, a script first runs on the caller's thread for [`SLICE`], which
//! suffices for most. A script that needs longer moves to a thread for scripts. This is safe
//! because no bundled script calls a library function that can take long. A custom script may do so
//! in its first line. If any script is custom, every script therefore runs on such a thread from
//! the start, which costs some ten microseconds. If the caller is dropped, a flag tells the hook to
//! stop the script.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table, Thread, Value};
use shared::blueprint::Doc;
use tokio_util::sync::CancellationToken;

use crate::flow::error::{ScriptError, StepError};
use crate::flow::lua::convert::{Marks, to_doc};
use crate::flow::lua::host::{self, Current};
use crate::flow::lua::sandbox::{self, MEMORY_LIMIT_MIB, Watch};
use crate::flow::lua::threads::{NoResult, Threads};
use crate::flow::lua::view::to_lua;
use crate::flow::run_state::RunState;
use crate::flow::scripts::Scripts;
use crate::flow::step_context::StepContext;

/// The maximum time of a script on the thread that started it.
const SLICE: Duration = Duration::from_millis(2);

/// The maximum number of idle interpreters; more than run concurrently on any worker.
const MAX_IDLE: usize = 256;

/// The size of the documents seen by scripts, in bytes, after which an interpreter collects its
/// views. Lua's collector counts a view as a few bytes, whatever the size of its document.
const COLLECT_AFTER: usize = 4 << 20;

/// A pool of interpreters.
#[derive(Debug)]
pub(in crate::flow) struct Pool {
    scripts: Arc<Scripts>,
    idle: Mutex<Vec<Machine>>,
    threads: Arc<Threads>,
}

impl Pool {
    /// Compiles every script once, to report all errors before the first issue.
    ///
    /// # Errors
    /// [`ScriptError::Compile`] with every script that is not valid Lua.
    pub(in crate::flow) fn new(scripts: Arc<Scripts>) -> Result<Pool, ScriptError> {
        let machine = Machine::new(&scripts)?;
        let problems: Vec<String> = (0..scripts.all().len())
            .filter_map(|script| Library::of(&machine.lua, script).err())
            .map(|error| first_line(&error))
            .collect();
        if problems.is_empty() {
            Ok(Pool {
                scripts,
                idle: Mutex::new(vec![machine]),
                threads: Threads::new(),
            })
        } else {
            Err(ScriptError::Compile { problems })
        }
    }

    /// Returns the scripts of this pool.
    pub(in crate::flow) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// Returns a token that is cancelled when too many scripts could not be stopped, so that the
    /// process should exit.
    pub(in crate::flow) fn restart_needed(&self) -> &CancellationToken {
        self.threads.restart_needed()
    }

    /// Runs script number `script` on `input` and returns its output.
    ///
    /// # Errors
    /// [`StepError::Script`] if the script raises an error, exceeds the memory limit or returns a
    /// value that JSON cannot represent. [`StepError::Interrupted`] if the run's deadline passed.
    ///
    /// Cancel safety: dropping the future stops the script within some ten microseconds of Lua. A
    /// library call cannot be stopped, see [`Threads`].
    pub(in crate::flow) async fn run(
        &self,
        script: usize,
        input: Doc,
        cx: &StepContext<'_>,
    ) -> Result<Doc, StepError> {
        let cancelled = CancelOnDrop(Arc::default());
        let machine = match self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
        {
            Some(machine) => machine,
            None => Machine::new(&self.scripts)?,
        };
        machine.watch.begin(cx.run.deadline, cancelled.0.clone());
        let started = if self.scripts.all_bundled() {
            machine.watch.set_slice_end(Some(Instant::now() + SLICE));
            machine.start(script, &input, cx.run)
        } else {
            Ok(Progress::NotBegun)
        };
        let (mut machine, result) = match started {
            Ok(Progress::Ended(result)) => (machine, Ok(result)),
            Err(error) => (machine, Err(error)),
            Ok(unfinished) => {
                machine.watch.set_slice_end(None);
                let run = Arc::clone(cx.run);
                let name = &self.scripts.get(script).name;
                let rest = self.threads.run(name, move || {
                    let result = machine.to_end(unfinished, script, &input, &run);
                    (machine, result)
                });
                rest.await
                    .map_err(|why| without_result(&format!("script {name}"), why))?
            }
        };
        if machine.watch.was_interrupted() {
            return Err(StepError::Interrupted);
        }
        let name = || self.scripts.get(script).name.clone();
        match result {
            Ok(value) => {
                let doc = value.map_err(|problem| ScriptError::Raised {
                    script: name(),
                    message: format!("the returned value is not JSON: {problem}"),
                });
                machine.tidy_up(cx.run.document_bytes());
                self.put_back(machine);
                Ok(doc?)
            }
            Err(error) if is_memory(&error) => Err(ScriptError::Memory {
                script: name(),
                limit_mib: MEMORY_LIMIT_MIB,
            }
            .into()),
            Err(error) => {
                tracing::debug!(script = name(), step = cx.step, "{error}");
                self.put_back(machine);
                Err(ScriptError::Raised {
                    script: name(),
                    message: place_and_message(&error),
                }
                .into())
            }
        }
    }

    /// Runs `work`, which cannot be interrupted, on a thread for scripts. If the caller is dropped
    /// and `work` does not end, the thread is abandoned. `name` identifies `work` in the log.
    ///
    /// # Errors
    /// [`StepError::Permanent`] if `work` panicked, [`StepError::Transient`] if no thread was
    /// available.
    ///
    /// Cancel safety: the same as [`Threads::run`].
    pub(in crate::flow) async fn run_native<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StepError> {
        let ended = self.threads.run(name, work).await;
        ended.map_err(|why| without_result(name, why))
    }

    fn put_back(&self, machine: Machine) {
        if machine.watch.was_slowed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(machine);
        }
    }
}

/// Returns the error of a step whose work has no result. A lack of threads is temporary.
fn without_result(what: &str, why: NoResult) -> StepError {
    match why {
        NoResult::Panicked => StepError::Permanent {
            message: format!("{what} panicked; see the worker's log"),
        },
        NoResult::NoThread => StepError::Transient {
            message: format!("{what}: the system has no thread to spare"),
            retry_after: None,
        },
    }
}

/// Tells the hook to stop the script when the caller is dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The output of a script, or the reason why JSON cannot represent it.
type Returned = Result<Doc, String>;

enum Progress {
    NotBegun,
    Ended(Returned),
    Paused(Thread),
}

/// A sandboxed Lua interpreter.
#[derive(Debug)]
struct Machine {
    lua: Lua,
    watch: Arc<Watch>,
    marks: Marks,
    seen_bytes: usize,
}

impl Machine {
    fn new(scripts: &Arc<Scripts>) -> Result<Machine, ScriptError> {
        Machine::build(scripts).map_err(|error| ScriptError::Sandbox {
            message: error.to_string(),
        })
    }

    fn build(scripts: &Arc<Scripts>) -> mlua::Result<Machine> {
        let watch = Arc::new(Watch::default());
        let (lua, base) = sandbox::build(&watch, scripts.all_bundled())?;
        let marks = Marks::new(&lua)?;
        let host = host::table(&lua, &marks)?;
        let fall_back = lua.create_table()?;
        fall_back.raw_set("__index", &base)?;
        lua.set_app_data(Library {
            scripts: scripts.clone(),
            compiled: vec![None; scripts.all().len()],
            fall_back,
        });

        let names = scripts.axis_names();
        host.set(
            "axes",
            lua.create_function(move |lua, ()| {
                lua.create_sequence_from(names.iter().map(String::as_str))
            })?,
        )?;
        let axis_script = lua.create_function(|lua, axis: String| {
            let at = lua
                .app_data_ref::<Library>()
                .and_then(|library| library.scripts.axis(&axis));
            at.map(|at| Library::of(lua, at)).transpose()
        })?;
        let environment = lua.create_function(|lua, input: Value| environment(lua, input))?;
        // Written in Lua, so that the hook can interrupt a verifier like any other script.
        let verifier: Function = lua
            .load(VERIFIER)
            .set_name("=host")
            .call((axis_script, environment))?;
        host.set("verifier", verifier)?;
        base.raw_set("host", sandbox::read_only(&lua, "host", host)?)?;
        Ok(Machine {
            lua,
            watch,
            marks,
            seen_bytes: 0,
        })
    }

    fn start(&self, script: usize, input: &Doc, run: &Arc<RunState>) -> mlua::Result<Progress> {
        let function = Library::of(&self.lua, script)?;
        let name = self
            .lua
            .app_data_ref::<Library>()
            .map(|library| library.scripts.get(script).name.clone())
            .unwrap_or_default();
        self.lua.set_app_data(Current {
            run: run.clone(),
            script: name,
            input: input.clone(),
            logged_lines: 0,
            made_bytes: 0,
        });
        let environment = environment(&self.lua, to_lua(&self.lua, input)?)?;
        let thread = self.lua.create_thread(function)?;
        self.resume(thread, environment)
    }

    fn resume(
        &self,
        thread: Thread,
        environment: impl mlua::IntoLuaMulti,
    ) -> mlua::Result<Progress> {
        let value: Value = thread.resume(environment)?;
        if thread.is_resumable() {
            return Ok(Progress::Paused(thread));
        }
        Ok(Progress::Ended(to_doc(&value, &self.marks)))
    }

    fn to_end(
        &self,
        mut progress: Progress,
        script: usize,
        input: &Doc,
        run: &Arc<RunState>,
    ) -> mlua::Result<Returned> {
        loop {
            progress = match progress {
                Progress::NotBegun => self.start(script, input, run)?,
                Progress::Paused(thread) => self.resume(thread, ())?,
                Progress::Ended(returned) => return Ok(returned),
            };
        }
    }

    /// Releases the data of the last script.
    fn tidy_up(&mut self, seen_bytes: usize) {
        self.lua.remove_app_data::<Current>();
        self.seen_bytes += seen_bytes;
        if self.seen_bytes >= COLLECT_AFTER {
            self.seen_bytes = 0;
            if let Err(error) = self.lua.gc_collect() {
                tracing::warn!(%error, "Lua's collector failed");
            }
        }
    }
}

/// `host.verifier`: a function that runs an axis' script in its own environment.
const VERIFIER: &str = "
local axis_script, environment = ...
return function(axis)
  local script = axis_script(axis)
  if script == nil then return nil end
  return function(input) return script(environment(input)) end
end";

/// The scripts of an interpreter, compiled on first use.
struct Library {
    scripts: Arc<Scripts>,
    compiled: Vec<Option<Function>>,
    fall_back: Table,
}

impl Library {
    /// Returns the function that runs script number `at` in the environment of its argument.
    fn of(lua: &Lua, at: usize) -> mlua::Result<Function> {
        let missing = || mlua::Error::runtime("the machine has no scripts");
        let scripts = {
            let library = lua.app_data_ref::<Library>().ok_or_else(missing)?;
            if let Some(Some(function)) = library.compiled.get(at) {
                return Ok(function.clone());
            }
            library.scripts.clone()
        };
        let script = scripts.get(at);
        // The environment is an argument of the chunk, so that a new one for each run costs
        // nothing. It is on the first line, so that line numbers stay the same.
        let function = lua
            .load(format!("local _ENV <const> = ...; {}", script.source))
            .set_name(format!("@{}", script.origin))
            .set_mode(ChunkMode::Text)
            .into_function()?;
        let mut library = lua.app_data_mut::<Library>().ok_or_else(missing)?;
        library.compiled[at] = Some(function.clone());
        Ok(function)
    }
}

/// Creates the table with the globals of one run: `_CTX`, and a fall-back to the common functions.
/// Without an input, `_CTX` is the input of the running script.
fn environment(lua: &Lua, input: Value) -> mlua::Result<Table> {
    let input = match input {
        Value::Nil => {
            let current = lua
                .app_data_ref::<Current>()
                .map(|current| current.input.clone());
            to_lua(lua, &current.unwrap_or_default())?
        }
        given => given,
    };
    let environment = lua.create_table()?;
    environment.raw_set("_CTX", input)?;
    let fall_back = lua
        .app_data_ref::<Library>()
        .map(|library| library.fall_back.clone());
    environment.set_metatable(fall_back)?;
    Ok(environment)
}

fn is_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => {
            is_memory(cause)
        }
        _ => false,
    }
}

/// Returns Lua's message without the stack. An error of a host function includes the position of
/// its call.
fn place_and_message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { traceback, cause } => {
            let message = place_and_message(cause);
            match place(traceback) {
                Some(place) if !message.contains(".lua:") => format!("{place}: {message}"),
                _ => message,
            }
        }
        mlua::Error::RuntimeError(message) => {
            let text = cut_stack(message);
            // For an error in a function of the sandbox, the position of its caller is relevant.
            let inner = text
                .strip_prefix("sandbox:")
                .and_then(|rest| rest.split_once(": "));
            match (inner, place(message)) {
                (Some((_, text)), Some(place)) => format!("{place}: {text}"),
                _ => text,
            }
        }
        other => first_line(other),
    }
}

/// Returns the innermost position in a script from a stack trace.
fn place(stack: &str) -> Option<&str> {
    let mut lines = stack.lines().map(str::trim);
    lines
        .find(|line| line.contains(".lua:"))?
        .split(": in ")
        .next()
}

fn cut_stack(message: &str) -> String {
    message
        .split("\nstack traceback:")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn first_line(error: &mlua::Error) -> String {
    cut_stack(&error.to_string())
}
