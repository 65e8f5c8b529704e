//! Read-only views: a script sees a document as a table that it cannot write to.
//!
//! A view holds a reference to a shared subtree and converts values on access. A script that reads
//! one string of a large document pays for one string. A view that the script returns gives the
//! original subtree.
//!
//! `v.key`, `v[1]`, `#v`, `pairs(v)`, `ipairs(v)`, `next(v)` and `==` (by content) work as for a
//! table, and `type(v)` returns `table`. `#` of an object is the number of its members. JSON's
//! `null` is `host.null`, which unlike `nil` is a value and truthy.

use std::ops::Bound;

use mlua::{AnyUserData, Error, Lua, MetaMethod, Result, UserData, UserDataMethods, Value};
use shared::blueprint::{Doc, Num};

/// A view of an array or object.
#[derive(Debug)]
pub(super) struct View(pub(super) Doc);

impl UserData for View {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, view, key: Value| {
            match member(&view.0, &key) {
                Some(found) => to_lua(lua, found),
                None => Ok(Value::Nil),
            }
        });
        methods.add_meta_method(MetaMethod::Len, |_, view, ()| Ok(len(&view.0)));
        methods.add_meta_method(MetaMethod::Eq, |_, view, other: AnyUserData| {
            Ok(other
                .borrow::<View>()
                .is_ok_and(|other| view.0.identical(&other.0)))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, view, ()| {
            Ok(format!(
                "{} ({} values, read-only)",
                view.0.kind(),
                len(&view.0)
            ))
        });
        methods.add_meta_method(MetaMethod::NewIndex, |_, _, (key, _): (Value, Value)| -> Result<()> {
            let key = key.to_string().unwrap_or_else(|_| "?".into());
            Err(Error::runtime(format!(
                "cannot set {key:?}: this document is read-only; copy it with host.object or host.array"
            )))
        });
        methods.add_meta_function(MetaMethod::Pairs, |lua, view: AnyUserData| {
            let next = lua.named_registry_value::<mlua::Function>(NEXT)?;
            Ok((next, view, Value::Nil))
        });
    }
}

/// The registry key of the function that iterates over a view.
const NEXT: &str = "draftsman.view_next";

/// Prepares an interpreter for views. Returns the function that maps a view and a key to the next
/// key and its value.
pub(super) fn install(lua: &Lua) -> Result<mlua::Function> {
    let next = lua.create_function(|lua, (view, key): (AnyUserData, Value)| {
        let view = view.borrow::<View>()?;
        match after(&view.0, &key) {
            Some((key, value)) => {
                let key = match key {
                    Key::Place(place) => Value::Integer(place),
                    Key::Name(name) => Value::String(lua.create_string(name)?),
                };
                Ok((key, to_lua(lua, value)?))
            }
            None => Ok((Value::Nil, Value::Nil)),
        }
    })?;
    lua.set_named_registry_value(NEXT, &next)?;
    Ok(next)
}

/// Converts `doc` to a Lua value: a scalar to a scalar, a container to a view.
pub(super) fn to_lua(lua: &Lua, doc: &Doc) -> Result<Value> {
    Ok(match doc {
        Doc::Null => Value::NULL,
        Doc::Bool(b) => Value::Boolean(*b),
        Doc::Num(Num::Int(i)) => Value::Integer(*i),
        Doc::Num(Num::Float(f)) => Value::Number(*f),
        Doc::Str(s) => Value::String(lua.create_string(s.as_bytes())?),
        Doc::Array(_) | Doc::Object(_) => Value::UserData(lua.create_userdata(View(doc.clone()))?),
    })
}

fn len(doc: &Doc) -> usize {
    match doc {
        Doc::Array(items) => items.len(),
        Doc::Object(map) => map.len(),
        _ => 0,
    }
}

fn member<'a>(doc: &'a Doc, key: &Value) -> Option<&'a Doc> {
    match (doc, key) {
        (Doc::Object(map), Value::String(name)) => map.get(&*name.to_str().ok()?),
        (Doc::Array(items), Value::Integer(place)) => {
            items.get(usize::try_from(*place).ok()?.checked_sub(1)?)
        }
        (Doc::Array(items), Value::Number(place)) if place.fract() == 0.0 && *place >= 1.0 =>
        {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "such a cast saturates, and beyond the largest index there is nothing"
            )]
            items.get(*place as usize - 1)
        }
        _ => None,
    }
}

enum Key<'a> {
    Place(i64),
    Name(&'a str),
}

fn after<'a>(doc: &'a Doc, key: &Value) -> Option<(Key<'a>, &'a Doc)> {
    match (doc, key) {
        (Doc::Object(map), Value::Nil) => map.iter().next().map(|(k, v)| (Key::Name(k), v)),
        (Doc::Object(map), Value::String(name)) => {
            let name = name.to_str().ok()?;
            let from = (Bound::Excluded(&*name), Bound::Unbounded);
            map.range::<str, _>(from)
                .next()
                .map(|(k, v)| (Key::Name(k), v))
        }
        (Doc::Array(items), Value::Nil) => items.first().map(|v| (Key::Place(1), v)),
        (Doc::Array(items), Value::Integer(place)) => {
            let at = usize::try_from(*place).ok()?;
            items.get(at).map(|v| (Key::Place(place + 1), v))
        }
        _ => None,
    }
}
