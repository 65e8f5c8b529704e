//! Converts Lua values to documents, exactly or with an error.
//!
//! mlua's own conversion drops the string keys of a mixed table and converts NaN to `null`. This
//! one checks every value and rejects values that JSON cannot represent, with their position.
//!
//! An empty table is an object unless `host.array` marked it. A table with the keys 1 to n is an
//! array. A table with string keys is an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlua::{Lua, Result, Table, Value};
use shared::blueprint::{Doc, Num};

use crate::flow::lua::view::View;

/// The maximum nesting depth: 64 for a document, and a reserve for the containers that a flow puts
/// around it.
const MAX_LEVELS: usize = 128;

/// The maximum memory size of a converted value. A table that contains another table twice is
/// converted twice, so a small value can expand to a huge document.
const MAX_BYTES: usize = 32 << 20;

/// The metatables that distinguish arrays from objects.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    array: Table,
    object: Table,
}

impl Marks {
    /// Creates the marks of an interpreter.
    pub(super) fn new(lua: &Lua) -> Result<Marks> {
        Ok(Marks {
            array: lua.create_table()?,
            object: lua.create_table()?,
        })
    }

    /// Marks `table` as an array.
    pub(super) fn mark_array(&self, table: &Table) -> Result<()> {
        table.set_metatable(Some(self.array.clone()))
    }

    /// Marks `table` as an object.
    pub(super) fn mark_object(&self, table: &Table) -> Result<()> {
        table.set_metatable(Some(self.object.clone()))
    }

    fn of(&self, table: &Table) -> Option<Mark> {
        let found = table.metatable()?;
        if found == self.array {
            Some(Mark::Array)
        } else if found == self.object {
            Some(Mark::Object)
        } else {
            None
        }
    }

    /// True if the value would convert to an array.
    pub(super) fn is_array(&self, value: &Value) -> bool {
        match value {
            Value::UserData(data) => data
                .borrow::<View>()
                .is_ok_and(|view| matches!(view.0, Doc::Array(_))),
            Value::Table(table) => match self.of(table) {
                Some(mark) => matches!(mark, Mark::Array),
                None => table.raw_len() > 0,
            },
            _ => false,
        }
    }
}

enum Mark {
    Array,
    Object,
}

/// Converts `value` to a document. `marks` are those of its interpreter.
///
/// # Errors
/// The position and type of a value that JSON cannot represent, as `at ops[2].value: a function is
/// no JSON value`.
pub(super) fn to_doc(value: &Value, marks: &Marks) -> std::result::Result<Doc, String> {
    let mut conversion = Conversion {
        marks,
        path: Vec::new(),
        bytes: 0,
    };
    conversion.convert(value).map_err(|problem| {
        let mut place = String::new();
        for step in &conversion.path {
            match step {
                Place::Index(i) => place.push_str(&format!("[{i}]")),
                Place::Key(key) if place.is_empty() => place.push_str(key),
                Place::Key(key) => place.push_str(&format!(".{key}")),
            }
        }
        if place.is_empty() {
            problem
        } else {
            format!("at {place}: {problem}")
        }
    })
}

enum Place {
    Index(i64),
    Key(Arc<str>),
}

struct Conversion<'a> {
    marks: &'a Marks,
    /// The current position; after an error, the position of the error.
    path: Vec<Place>,
    bytes: usize,
}

impl Conversion<'_> {
    fn convert(&mut self, value: &Value) -> std::result::Result<Doc, String> {
        self.bytes += size_of::<Doc>();
        match value {
            Value::Nil => Err("nil is not a JSON value; use host.null".into()),
            Value::Boolean(b) => Ok(Doc::Bool(*b)),
            Value::Integer(i) => Ok(Doc::Num(Num::Int(*i))),
            Value::Number(f) if f.is_finite() => Ok(Doc::Num(Num::Float(*f))),
            Value::Number(f) => Err(format!("the number {f} is not a JSON value")),
            Value::String(s) => Ok(Doc::Str(self.text(s)?)),
            Value::LightUserData(pointer) if pointer.0.is_null() => Ok(Doc::Null),
            Value::UserData(data) => match data.borrow::<View>() {
                Ok(view) => Ok(view.0.clone()),
                Err(_) => Err("a userdata is not a JSON value".into()),
            },
            Value::Table(table) => self.table(table),
            other => Err(format!("a {} is not a JSON value", other.type_name())),
        }
    }

    fn text(&mut self, s: &mlua::LuaString) -> std::result::Result<Arc<str>, String> {
        let text = s
            .to_str()
            .map_err(|_| "a string that is not UTF-8".to_owned())?;
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            return Err(format!("the value is larger than {} MiB", MAX_BYTES >> 20));
        }
        Ok(Arc::from(&*text))
    }

    fn table(&mut self, table: &Table) -> std::result::Result<Doc, String> {
        if self.path.len() >= MAX_LEVELS {
            return Err(format!(
                "tables are nested deeper than {MAX_LEVELS} levels, or within themselves"
            ));
        }
        if self.bytes > MAX_BYTES {
            return Err(format!("the value is larger than {} MiB", MAX_BYTES >> 20));
        }
        let as_array = match self.marks.of(table) {
            Some(Mark::Array) => true,
            Some(Mark::Object) => false,
            None => table.raw_len() > 0,
        };
        if as_array {
            self.array(table)
        } else {
            self.object(table)
        }
    }

    fn array(&mut self, table: &Table) -> std::result::Result<Doc, String> {
        let n = table.raw_len();
        let mut others = None;
        let mut count = 0_usize;
        each_key(table, |key| match key {
            Value::Integer(i) if (1..=n as i64).contains(i) => count += 1,
            other => others = Some(describe(other)),
        })?;
        if let Some(other) = others {
            return Err(format!(
                "a table with the keys 1 to {n} and also {other}: neither array nor object"
            ));
        }
        if count != n {
            return Err("an array with a hole; put host.null where nothing stands".into());
        }
        let mut items = Vec::with_capacity(n);
        for i in 1..=n as i64 {
            let value: Value = table.raw_get(i).map_err(|e| e.to_string())?;
            self.path.push(Place::Index(i));
            items.push(self.convert(&value)?);
            self.path.pop();
        }
        Ok(Doc::array(items))
    }

    fn object(&mut self, table: &Table) -> std::result::Result<Doc, String> {
        let mut members: BTreeMap<Arc<str>, Doc> = BTreeMap::new();
        let mut problem = None;
        let walked = table.for_each(|key: Value, value: Value| {
            let converted = match &key {
                Value::String(s) => self.text(s).and_then(|name| {
                    self.path.push(Place::Key(name.clone()));
                    let member = self.convert(&value)?;
                    self.path.pop();
                    members.insert(name, member);
                    Ok(())
                }),
                other => Err(format!(
                    "an object's key must be a string, not {}",
                    describe(other)
                )),
            };
            converted.map_err(|text| {
                problem = Some(text);
                mlua::Error::runtime("stop")
            })
        });
        match (problem, walked) {
            (Some(problem), _) => Err(problem),
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(())) => Ok(Doc::Object(Arc::new(members))),
        }
    }
}

fn each_key(table: &Table, mut see: impl FnMut(&Value)) -> std::result::Result<(), String> {
    table
        .for_each(|key: Value, _: Value| {
            see(&key);
            Ok(())
        })
        .map_err(|e| e.to_string())
}

fn describe(key: &Value) -> String {
    match key {
        Value::String(s) => format!("the key {:?}", s.to_string_lossy()),
        Value::Integer(i) => format!("the key {i}"),
        Value::Number(f) => format!("the key {f}"),
        other => format!("a key that is a {}", other.type_name()),
    }
}
