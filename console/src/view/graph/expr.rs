//! Expressions of flows, as people write them.

use serde_json::Value;

/// The longest shown expression, in characters.
const MAX: usize = 60;
/// The deepest shown expression.
const MAX_DEPTH: usize = 6;

/// Returns an expression in words, cut to a bounded length.
pub(crate) fn words(expr: &Value) -> String {
    let text = write(expr, 0);
    if text.chars().count() <= MAX {
        return text;
    }
    let cut: String = text.chars().take(MAX - 1).collect();
    cut + "…"
}

fn write(expr: &Value, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".to_owned();
    }
    let sub = |name: &str| write(&expr[name], depth + 1);
    let args = |separator: &str| {
        let args = expr["args"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let args: Vec<String> = args.iter().map(|arg| write(arg, depth + 1)).collect();
        args.join(separator)
    };
    let binary = |sign: &str| format!("{} {sign} {}", sub("lhs"), sub("rhs"));
    match expr["op"].as_str() {
        Some("path") => expr["at"].as_str().unwrap_or("?").to_owned(),
        Some("lit") => expr["value"].to_string(),
        Some("eq") => binary("="),
        Some("ne") => binary("≠"),
        Some("lt") => binary("<"),
        Some("lte") => binary("≤"),
        Some("gt") => binary(">"),
        Some("gte") => binary("≥"),
        Some("add") => binary("+"),
        Some("sub") => binary("−"),
        Some("mul") => binary("×"),
        Some("div") => binary("÷"),
        Some("mod") => binary("mod"),
        Some("not") => format!("not {}", sub("arg")),
        Some("exists") => format!("{} exists", sub("arg")),
        Some("len") => format!("length of {}", sub("arg")),
        Some("and") => args(" and "),
        Some("or") => args(" or "),
        Some("in") => format!("{} in {}", sub("needle"), sub("haystack")),
        Some("call_extern") => {
            format!("{}({})", expr["ref"].as_str().unwrap_or("?"), args(", "))
        }
        _ => match expr {
            // `at` of `let` is a path without an operator.
            Value::String(path) => path.clone(),
            _ => "?".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_read_as_sentences() {
        let path = json!({"op": "path", "at": "$.n"});
        let lit = json!({"op": "lit", "value": 3});
        let lt = json!({"op": "lt", "lhs": path, "rhs": lit});
        let and = json!({"op": "and", "args": [lt, {"op": "exists", "arg": path}]});
        assert_eq!(words(&and), "$.n < 3 and $.n exists");
        assert_eq!(words(&json!("$.x")), "$.x");
        assert_eq!(
            words(&json!({"op": "path", "at": "a".repeat(100)}))
                .chars()
                .count(),
            MAX
        );
        assert_eq!(words(&json!(null)), "?");
    }
}
