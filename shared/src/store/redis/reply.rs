//! Reads a script's reply: the outcome, then the values in order.

use std::collections::HashMap;

use redis::{FromRedisValue, Value};

use crate::store::redis::error::StoreError;

/// A reply with its outcome parsed. Its values are read one by one.
pub(crate) struct Reply {
    script: &'static str,
    outcome: String,
    rest: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn read(script: &'static str, value: Value) -> Result<Reply, StoreError> {
        let bad = |got: &Value| StoreError::Contract {
            script,
            got: format!("{got:?}").chars().take(200).collect(),
        };
        let Value::Array(values) = value else {
            return Err(bad(&value));
        };
        let mut rest = values.into_iter();
        match rest.next() {
            Some(Value::BulkString(bytes)) => Ok(Reply {
                script,
                outcome: String::from_utf8_lossy(&bytes).into_owned(),
                rest,
            }),
            other => Err(bad(&other.unwrap_or(Value::Nil))),
        }
    }

    pub(crate) fn outcome(&self) -> &str {
        &self.outcome
    }

    /// Returns true if no value is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.as_slice().is_empty()
    }

    /// Returns the next value.
    pub(crate) fn take<T: FromRedisValue>(&mut self) -> Result<T, StoreError> {
        let value = self.rest.next().unwrap_or(Value::Nil);
        let shown = || format!("{} with a wrong value", self.outcome);
        T::from_redis_value(value).map_err(|_| StoreError::Contract {
            script: self.script,
            got: shown(),
        })
    }

    /// Returns the next value, a list of names and values.
    pub(crate) fn take_fields(&mut self) -> Result<HashMap<String, String>, StoreError> {
        self.take()
    }

    /// Returns the error for an unexpected outcome.
    pub(crate) fn unknown(self) -> StoreError {
        StoreError::Contract {
            script: self.script,
            got: self.outcome,
        }
    }
}
