//! Parsers of configuration values.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::config::problem::BadValue;
use crate::ids::SettingId;

/// Parses a listen address: `IP:port` or `localhost:port`. Port 0 selects a free port.
///
/// # Errors
/// [`BadValue`] for anything else. Other host names would need a DNS lookup.
pub fn parse_listen(text: &str) -> Result<SocketAddr, BadValue> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        BadValue::new(
            text,
            "IP:port like 127.0.0.1:50051, 0.0.0.0:50051 or [::]:50051 (port 0 picks a free one)",
        )
    })
}

/// Parses a listen address as [`parse_listen`]; an empty text or `off` returns `None`.
///
/// # Errors
/// As [`parse_listen`].
pub fn parse_optional_listen(text: &str) -> Result<Option<SocketAddr>, BadValue> {
    match text {
        "" | "off" => Ok(None),
        address => parse_listen(address).map(Some),
    }
}

/// Parses `on` or `off`.
///
/// # Errors
/// [`BadValue`] for anything else.
pub fn parse_switch(text: &str) -> Result<bool, BadValue> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(BadValue::new(text, "on or off")),
    }
}

/// Parses the `http://` or `https://` address of a collector; an empty text returns `None`.
///
/// # Errors
/// [`BadValue`] for anything else.
pub fn parse_otlp_endpoint(text: &str) -> Result<Option<String>, BadValue> {
    let host = text
        .strip_prefix("http://")
        .or(text.strip_prefix("https://"));
    match host {
        _ if text.is_empty() => Ok(None),
        Some(host) if !host.is_empty() => Ok(Some(text.to_owned())),
        _ => Err(BadValue::new(text, "a URL like http://127.0.0.1:4317")),
    }
}

/// Parses a whole number within `range`, decimal digits only.
///
/// # Errors
/// [`BadValue`] with the range.
pub fn parse_whole(text: &str, range: RangeInclusive<u64>) -> Result<u64, BadValue> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        _ => Err(BadValue::new(
            text,
            format!("a whole number from {} to {}", range.start(), range.end()),
        )),
    }
}

/// Parses a whole number as [`parse_whole`], for a variable whose range fits 32 bits.
///
/// # Errors
/// As [`parse_whole`].
pub fn parse_whole_u32(text: &str, range: RangeInclusive<u64>) -> Result<u32, BadValue> {
    let narrow = *range.start()..=(*range.end()).min(u64::from(u32::MAX));
    let number = parse_whole(text, narrow)?;
    u32::try_from(number).map_err(|_| BadValue::new(text, "a number of 32 bits"))
}

/// Parses the id of an EnhanceSetting.
///
/// # Errors
/// [`BadValue`] with the form of an id.
pub fn parse_setting_id(text: &str) -> Result<SettingId, BadValue> {
    SettingId::parse(text).map_err(|_| {
        BadValue::new(
            text,
            "an id: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
        )
    })
}

/// Parses the prefix of a worker's id: any text with at least one letter or digit. Later code
/// replaces the characters that an id cannot contain.
///
/// # Errors
/// [`BadValue`] if no character of the text is valid in an id.
pub fn parse_worker_name(text: &str) -> Result<String, BadValue> {
    if text.chars().any(|c| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err(BadValue::new(
            text,
            "a name with at least one letter or digit",
        ))
    }
}

/// Parses the path of an existing directory; an empty text returns `None`.
///
/// # Errors
/// [`BadValue`] if the path does not exist or is not a directory.
pub fn parse_optional_dir(text: &str) -> Result<Option<PathBuf>, BadValue> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(text);
    if path.is_dir() {
        Ok(Some(path))
    } else {
        Err(BadValue::new(text, "a directory that exists"))
    }
}

/// Parses the address of an HTTP service and ends it with one slash; an empty text returns `None`.
///
/// # Errors
/// [`BadValue`] for anything else, without the user part.
pub fn parse_optional_http_url(text: &str) -> Result<Option<String>, BadValue> {
    if text.is_empty() {
        return Ok(None);
    }
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .filter(|rest| !rest.starts_with(['/', ':']) && !rest.is_empty())
        .filter(|rest| !rest.contains(|c: char| c.is_whitespace() || "?#@".contains(c)));
    match host {
        Some(_) => Ok(Some(format!("{}/", text.trim_end_matches('/')))),
        None => Err(BadValue::new(
            &crate::config::redis_url::without_credentials(text),
            "a URL like https://gateway.example/v1, without user, query and fragment",
        )),
    }
}

/// Parses absolute paths separated by commas. It trims each path and ignores empty ones.
///
/// # Errors
/// [`BadValue`] with the first path that is not absolute.
pub fn parse_absolute_paths(text: &str) -> Result<Vec<PathBuf>, BadValue> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let path = PathBuf::from(part);
            if path.is_absolute() {
                Ok(path)
            } else {
                Err(BadValue::new(part, "absolute paths separated by commas"))
            }
        })
        .collect()
}

/// Parses names of environment variables separated by commas; an empty text returns an empty list.
///
/// # Errors
/// [`BadValue`] for an invalid name. A name has letters, digits and `_`, and no leading digit.
pub fn parse_variable_names(text: &str) -> Result<Vec<String>, BadValue> {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| match is_name(name) {
            true => Ok(name.to_owned()),
            false => Err(BadValue::new(
                name,
                "names of variables separated by commas",
            )),
        })
        .collect()
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Human-readable text.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// Parses `text` or `json`.
///
/// # Errors
/// [`BadValue`] for anything else.
pub fn parse_log_format(text: &str) -> Result<LogFormat, BadValue> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(BadValue::new(text, "text or json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Problems;
    use crate::config::{GRACE_SECS, GRACE_SECS_RANGE, LEASE_SECS_RANGE, LISTEN, LOG_FORMAT};
    use crate::telemetry::filter::parse_log_filter;

    #[test]
    fn listen_addresses() {
        assert_eq!(
            parse_listen("localhost:0").unwrap().to_string(),
            "127.0.0.1:0"
        );
        assert_eq!(parse_listen("[::]:1").unwrap().port(), 1);
        for bad in ["", "50051", "127.0.0.1", "127.0.0.1:70000", "example.com:1"] {
            assert!(parse_listen(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_optional_listen("off").unwrap(), None);
        assert!(parse_optional_listen("on").is_err());
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(parse_whole("15", LEASE_SECS_RANGE).unwrap(), 15);
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            " 1",
            "x",
            "99999999999999999999999",
        ] {
            assert!(parse_whole(bad, LEASE_SECS_RANGE).is_err(), "{bad}");
        }
        assert!(parse_whole_u32("4294967296", 0..=u64::MAX).is_err());
    }

    #[test]
    fn paths_and_names() {
        assert_eq!(parse_absolute_paths("").unwrap(), Vec::<PathBuf>::new());
        assert_eq!(parse_absolute_paths("/bin/a, /bin/b,").unwrap().len(), 2);
        assert!(parse_absolute_paths("/bin/a,b").is_err());
        assert!(parse_optional_dir("/no/such/dir").is_err());
        assert!(parse_worker_name("--").is_err());
        assert!(parse_setting_id("no spaces").is_err());
    }

    #[test]
    fn addresses_of_services() {
        assert_eq!(parse_optional_http_url("").unwrap(), None);
        for given in ["http://h:1/v1", "http://h:1/v1/"] {
            let read = parse_optional_http_url(given).unwrap();
            assert_eq!(read.as_deref(), Some("http://h:1/v1/"));
        }
        for bad in [
            "h",
            "ftp://h",
            "https://",
            "http:///v1",
            "http://h?k=v",
            "http://h h",
        ] {
            assert!(parse_optional_http_url(bad).is_err(), "{bad}");
        }
        let refused = parse_optional_http_url("https://u:hunter2@h").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"));
    }

    #[test]
    fn log_settings() {
        assert_eq!(parse_log_format("json").unwrap(), LogFormat::Json);
        assert!(parse_log_format("xml").is_err());
        assert!(parse_log_filter("warn,intake=debug").is_ok());
        assert!(parse_log_filter("intake=loud").is_err());
        assert!(parse_log_filter("").is_err());
    }

    #[test]
    fn every_problem_is_reported_by_name() {
        let mut problems = Problems::default();
        assert_eq!(problems.check(LISTEN, parse_listen("x")), None);
        assert!(
            problems
                .check(LOG_FORMAT, parse_log_format("text"))
                .is_some()
        );
        problems.check(GRACE_SECS, parse_whole("never", GRACE_SECS_RANGE));
        let invalid = problems.finish().unwrap_err();
        assert_eq!(invalid.variables(), [LISTEN, GRACE_SECS]);
        let text = invalid.to_string();
        assert!(
            text.contains("DRAFTSMAN_LISTEN: \"x\"") && text.contains("DRAFTSMAN_GRACE_SECS"),
            "{text}"
        );
    }
}
