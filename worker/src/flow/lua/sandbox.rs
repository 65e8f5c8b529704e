//! The sandbox: the names that a script can reach, its resource limits, and how it is stopped.
//!
//! A fresh Lua state contains files, processes and modules. This one contains only the names in the
//! lists below. Their functions do not read or write external state, load code, or bypass
//! metatables. Their results are deterministic (`math.random` is left out). Scripts access the
//! libraries and `host` through read-only tables. A script's own globals go into a table that
//! exists for one run, so no state remains for the next run.
//!
//! `coroutine` is left out. The host interrupts a long script by yielding from a hook, and a
//! coroutine of the script would catch that.
//!
//! A script has three limits:
//!
//! - Memory: an allocation above [`MEMORY_LIMIT_MIB`] fails.
//! - Time: a hook runs after a number of instructions. It raises an error once the deadline has
//!   passed or the run was cancelled. From then on it runs at every instruction, so that a loop
//!   around `pcall` ends too. It also runs more often when instructions take long because they copy
//!   long strings.
//! - Thread: at the end of its slice the hook yields, so that a long script does not block others
//!   on the same thread.
//!
//! No hook can stop a single call of a library function. The memory limit bounds all of them
//! ([`GUARDED`] covers `string.rep` and `table.move`) with two exceptions. A pattern with many `-`
//! or `*` in a row can take practically for ever on a long text. Sorting can take seconds.
//! [`threads`](crate::flow::lua::threads) handle these cases.
//!
//! The same script gives the same result for the same input. It cannot obtain the time, a random
//! number or a memory address (from `tostring` or `string.format`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlua::state::{GcIncParams, GcMode};
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, Result, StdLib, Table, Value, VmState};

use crate::flow::lua::view::{self, View};

/// The memory limit of an interpreter, in MiB. A document of 1 MiB copied into tables takes about
/// 30 MiB.
pub(super) const MEMORY_LIMIT_MIB: usize = 96;

/// The heap size at which Lua's collector starts, in percent of the heap after the last collection.
///
/// The heap of an interpreter is a few hundred KiB, most of it compiled scripts. With Lua's default
/// of 200, the collector takes a tenth of a flow's time.
const GC_PAUSE: i32 = 400;

/// The number of instructions between two checks of the clock, for bundled scripts: some ten
/// microseconds.
const HOOK_INTERVAL: u32 = 1000;

/// The same for custom scripts, because any of their instructions may copy megabytes.
const CLOSE_INTERVAL: u32 = 200;

/// The same after an interval has taken longer than [`LONG_INTERVAL`].
const SLOW_INTERVAL: u32 = 10;

/// The duration above which an interval contains unusually slow instructions.
const LONG_INTERVAL: Duration = Duration::from_millis(10);

/// The global functions of a script.
const FUNCTIONS: [&str; 9] = [
    "assert", "error", "ipairs", "pairs", "pcall", "rawequal", "select", "tonumber", "tostring",
];

/// `pcall`, nested at most [`MAX_PCALLS`] times.
///
/// Lua allows 200 nested C calls. At that limit the hook cannot run either. A script that catches
/// the resulting error and continues would never stop. An error can therefore only be caught below
/// that limit.
const PCALL: &str = "
local pcall, most = ...
local depth = 0
local function ended(...)
  depth = depth - 1
  return ...
end
return function(f, ...)
  if depth >= most then return false, 'stack overflow: too many pcall within one another' end
  depth = depth + 1
  return ended(pcall(f, ...))
end";

/// See [`PCALL`].
const MAX_PCALLS: u32 = 100;

/// `xpcall`, implemented with `pcall`.
///
/// Lua calls a message handler while it raises the error. If the hook raises the error, no hook can
/// interrupt the handler. Here the handler runs after the error has been caught.
const XPCALL: &str = "
local pcall, select = ...
local function ended(handler, ok, ...)
  if ok then return true, ... end
  return false, select(2, pcall(handler, ...))
end
return function(f, handler, ...) return ended(handler, pcall(f, ...)) end";

/// Replacements for Lua's functions. They do not show addresses, and they exclude two calls that
/// run for ever in C without memory.
const GUARDED: &str = r##"
local string, table, tostring, type = ...
local find, format, gsub, rep = string.find, string.format, string.gsub, string.rep
local move, pack, unpack = table.move, table.pack, table.unpack
local error, select = error, select
local function shown(value)
  local kind = type(value)
  if kind == "table" or kind == "function" then return kind end
  return tostring(value)
end
function string.rep(text, n, separator)
  if text == "" and (separator == nil or separator == "") then return "" end
  return rep(text, n, separator)
end
function string.format(form, ...)
  if find(form, "p", 1, true) and find(gsub(form, "%%%%", ""), "%%[-+ #0-9.]*p") then
    error("string.format: %p would show an address", 2)
  end
  for i = 1, select("#", ...) do
    local kind = type((select(i, ...)))
    if kind == "table" or kind == "function" then
      local given = pack(...)
      for at = i, given.n do
        kind = type(given[at])
        if kind == "table" or kind == "function" then given[at] = kind end
      end
      return format(form, unpack(given, 1, given.n))
    end
  end
  return format(form, ...)
end
function table.move(from, first, last, to, into)
  if last - first >= 10000000 then error("table.move: too many elements", 2) end
  return move(from, first, last, to, into)
end
return shown"##;

/// The libraries and their allowed functions.
const LIBRARIES: [(&str, &[&str]); 4] = [
    (
        "string",
        &[
            "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack",
            "packsize", "rep", "reverse", "sub", "unpack", "upper",
        ],
    ),
    (
        "table",
        &[
            "concat", "insert", "move", "pack", "remove", "sort", "unpack",
        ],
    ),
    (
        "math",
        &[
            "abs",
            "ceil",
            "exp",
            "floor",
            "fmod",
            "huge",
            "log",
            "max",
            "maxinteger",
            "min",
            "mininteger",
            "modf",
            "pi",
            "sqrt",
            "tointeger",
            "type",
            "ult",
        ],
    ),
    (
        "utf8",
        &["char", "charpattern", "codepoint", "codes", "len", "offset"],
    ),
];

/// Creates a state that contains only the lists above, with `watch` as its watch. The hook runs
/// more often unless all scripts are bundled. Also returns the table that every script's
/// environment falls back to.
pub(super) fn build(watch: &Arc<Watch>, all_bundled: bool) -> Result<(Lua, Table)> {
    let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::UTF8;
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    let all = lua.globals();
    let base = lua.create_table()?;
    for name in FUNCTIONS {
        base.raw_set(name, all.raw_get::<Value>(name)?)?;
    }
    let pcall: Function = lua
        .load(PCALL)
        .set_name("=sandbox")
        .call((all.raw_get::<Value>("pcall")?, MAX_PCALLS))?;
    base.raw_set("pcall", &pcall)?;
    let xpcall: Function = lua
        .load(XPCALL)
        .set_name("=sandbox")
        .call((&pcall, all.raw_get::<Value>("select")?))?;
    base.raw_set("xpcall", xpcall)?;
    let tostring: Function = lua.load(GUARDED).set_name("=sandbox").call((
        all.raw_get::<Value>("string")?,
        all.raw_get::<Value>("table")?,
        all.raw_get::<Value>("tostring")?,
        all.raw_get::<Value>("type")?,
    ))?;
    base.raw_set("tostring", tostring)?;
    for (library, names) in LIBRARIES {
        let table: Table = all.raw_get(library)?;
        // Removes entries from the library itself instead of a copy, because strings reach it as
        // `("").rep`.
        let mut surplus = Vec::new();
        table.for_each(|key: String, _: Value| {
            if !names.contains(&key.as_str()) {
                surplus.push(key);
            }
            Ok(())
        })?;
        for key in surplus {
            table.raw_set(key, Value::Nil)?;
        }
        base.raw_set(library, read_only(&lua, library, table)?)?;
    }

    let view_next = view::install(&lua)?;
    let table_next: Function = all.raw_get("next")?;
    base.raw_set(
        "next",
        lua.create_function(
            move |_, (value, key): (Value, Value)| -> Result<(Value, Value)> {
                if is_view(&value) {
                    view_next.call((value, key))
                } else {
                    table_next.call((value, key))
                }
            },
        )?,
    )?;
    base.raw_set(
        "type",
        lua.create_function(|_, value: Value| {
            Ok(if is_view(&value) {
                "table"
            } else {
                lua_type(&value)
            })
        })?,
    )?;
    // The original globals are now unreachable.
    lua.set_globals(lua.create_table()?)?;
    lua.set_memory_limit(MEMORY_LIMIT_MIB << 20)?;
    lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(GC_PAUSE)));
    let interval = if all_bundled {
        HOOK_INTERVAL
    } else {
        CLOSE_INTERVAL
    };
    install_hook(&lua, watch, interval)?;
    Ok((lua, base))
}

/// Returns the result of Lua's own `type`, which is coarser than mlua's type name.
fn lua_type(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) | Value::Other(_) => {
            "userdata"
        }
    }
}

fn is_view(value: &Value) -> bool {
    matches!(value, Value::UserData(data) if data.is::<View>())
}

/// Returns a read-only table that shows `inner`.
pub(super) fn read_only(lua: &Lua, name: &'static str, inner: Table) -> Result<Table> {
    let behaviour = lua.create_table()?;
    behaviour.raw_set("__index", inner)?;
    let refuse = lua.create_function(move |_, (_, key): (Value, Value)| -> Result<()> {
        let key = key.to_string().unwrap_or_else(|_| "?".into());
        Err(Error::runtime(format!(
            "{name} is read-only: cannot set {key:?}"
        )))
    })?;
    behaviour.raw_set("__newindex", refuse)?;
    let outer = lua.create_table()?;
    outer.set_metatable(Some(behaviour))?;
    Ok(outer)
}

/// The state of the hook.
#[derive(Debug, Default)]
pub(super) struct Watch {
    limits: Mutex<Limits>,
}

/// The limits of the current script.
#[derive(Debug, Default)]
struct Limits {
    deadline: Option<Instant>,
    cancelled: Option<Arc<AtomicBool>>,
    slice_end: Option<Instant>,
    /// The time of the last call of the hook.
    last_look: Option<Instant>,
    /// The current interval of the hook; shorter than at first after slow instructions.
    pace: Pace,
    interrupted: bool,
}

/// The frequency of the hook.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Pace {
    #[default]
    Ordinary,
    Slow,
    EachInstruction,
}

impl Pace {
    fn interval(self) -> u32 {
        match self {
            Pace::Ordinary => HOOK_INTERVAL,
            Pace::Slow => SLOW_INTERVAL,
            Pace::EachInstruction => 1,
        }
    }
}

impl Watch {
    /// Sets the limits for the next script.
    pub(super) fn begin(&self, deadline: Instant, cancelled: Arc<AtomicBool>) {
        *self.lock() = Limits {
            deadline: Some(deadline),
            cancelled: Some(cancelled),
            slice_end: None,
            last_look: None,
            pace: Pace::Ordinary,
            interrupted: false,
        };
    }

    /// Sets the end of the slice; with `None` only the deadline applies.
    pub(super) fn set_slice_end(&self, end: Option<Instant>) {
        self.lock().slice_end = end;
    }

    /// True if the hook runs more often than in a new interpreter.
    pub(super) fn was_slowed(&self) -> bool {
        self.lock().pace != Pace::Ordinary
    }

    /// True if the hook has raised its error, so that the interpreter must not be reused.
    pub(super) fn was_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next action of the hook, and its new pace if that changes.
    fn look(&self) -> (Look, Option<Pace>) {
        let mut limits = self.lock();
        let now = Instant::now();
        let over = limits.deadline.is_some_and(|deadline| now >= deadline)
            || limits
                .cancelled
                .as_ref()
                .is_some_and(|flag| flag.load(Ordering::Relaxed));
        let is_slow = limits
            .last_look
            .replace(now)
            .is_some_and(|last| now - last > LONG_INTERVAL);
        let (look, wanted) = if over || limits.interrupted {
            limits.interrupted = true;
            (Look::Stop, Pace::EachInstruction)
        } else if limits.slice_end.is_some_and(|end| now >= end) {
            // The time of the pause does not count as slow instructions.
            limits.last_look = None;
            (Look::Pause, limits.pace)
        } else if is_slow {
            (Look::GoOn, Pace::Slow)
        } else {
            (Look::GoOn, limits.pace)
        };
        (look, (wanted > limits.pace).then_some(wanted))
    }

    fn set_pace(&self, pace: Pace) {
        self.lock().pace = pace;
    }
}

enum Look {
    GoOn,
    Pause,
    Stop,
}

fn install_hook(lua: &Lua, watch: &Arc<Watch>, interval: u32) -> Result<()> {
    let watch = watch.clone();
    lua.set_global_hook(
        HookTriggers::new().every_nth_instruction(interval),
        move |lua, _| {
            let (look, pace) = watch.look();
            // Deep in a recursion the new hook may not fit on the stack; then the next call tries
            // again. Without the new hook the error ends only one `pcall`, and a script with many
            // nested ones continues for ever.
            if let Some(pace) = pace
                && install_hook(lua, &watch, pace.interval()).is_ok()
            {
                watch.set_pace(pace);
            }
            match look {
                Look::GoOn => Ok(VmState::Continue),
                Look::Pause => Ok(VmState::Yield),
                Look::Stop => Err(Error::runtime(
                    "interrupted by the time limit or a cancellation",
                )),
            }
        },
    )
}
