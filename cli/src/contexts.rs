//! Contexts: named intakes, in a file of this user.
//!
//! The file has addresses and the places of tokens and certificates, never a token. A context is
//! used as a whole: with an address from elsewhere, none of its values is used, so that its token
//! is sent to no other server.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address;
use crate::args::Common;

/// The file, in the folder of the configuration.
const FILE: &str = "contexts.yaml";

/// Why a context cannot be used, or the file cannot be changed.
#[derive(Debug, Error)]
pub(crate) enum ContextError {
    /// Neither variable is set.
    #[error("the folder for contexts is unknown; set HOME or XDG_CONFIG_HOME")]
    NoFolder,
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file has another form.
    #[error("{} is not a valid file of contexts: {problem}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The context does not exist.
    #[error("context `{name}` is not found; {known}")]
    NotFound {
        /// The given name.
        name: String,
        /// The names that exist, in a sentence.
        known: String,
    },
    /// The context exists.
    #[error("context `{0}` exists; give --replace to replace it")]
    Exists(String),
    /// The name has other characters.
    #[error("`{0}` is not a valid name of a context; use letters, digits, `.`, `_` and `-`")]
    Name(String),
    /// `context add` without an address.
    #[error("the address is missing; give --addr, as in `draftsman context add NAME --addr URL`")]
    NoAddress,
    /// `context add` with a token.
    #[error("a token is never stored; give --token-file or --token-env instead of --token")]
    StoredToken,
    /// Two addresses on one command line.
    #[error("--addr and --context exclude each other: a context has an address")]
    TwoAddresses,
    /// The file of the token cannot be read.
    #[error("cannot read the token of context `{name}` from {}", .path.display())]
    TokenFile {
        /// The context.
        name: String,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The variable of the token is not set.
    #[error("the token of context `{name}` is missing; set {variable}")]
    TokenVariable {
        /// The context.
        name: String,
        /// The variable.
        variable: String,
    },
}

impl ContextError {
    /// Returns true if the arguments themselves are wrong.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Name(_) | Self::NoAddress | Self::StoredToken | Self::TwoAddresses
        )
    }
}

/// A named intake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The address as it was given.
    pub(crate) addr: String,
    /// The file of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// The variable of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_env: Option<String>,
    /// The file of the CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The file of the client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The file of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
}

impl Context {
    fn token(&self, name: &str) -> Result<Option<String>, ContextError> {
        if let Some(path) = &self.token_file {
            let token = fs::read_to_string(path).map_err(|source| ContextError::TokenFile {
                name: name.to_owned(),
                path: path.clone(),
                source,
            })?;
            return Ok(Some(token.trim().to_owned()));
        }
        let Some(variable) = &self.token_env else {
            return Ok(None);
        };
        let token = std::env::var(variable)
            .ok()
            .filter(|token| !token.is_empty());
        let missing = || ContextError::TokenVariable {
            name: name.to_owned(),
            variable: variable.clone(),
        };
        token.map(Some).ok_or_else(missing)
    }
}

/// The content of the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The context that is used if no other is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// The contexts by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Returns a context.
    ///
    /// # Errors
    /// [`ContextError::NotFound`].
    pub(crate) fn get(&self, name: &str) -> Result<&Context, ContextError> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let known = match names.as_slice() {
                [] => "add it with `draftsman context add`".to_owned(),
                names => format!("contexts are {}", names.join(", ")),
            };
            let name = name.to_owned();
            ContextError::NotFound { name, known }
        })
    }
}

/// Returns the path of the file.
///
/// # Errors
/// [`ContextError::NoFolder`].
pub(crate) fn path() -> Result<PathBuf, ContextError> {
    let absolute = |name: &str| {
        // The specification of XDG: a relative path is invalid and ignored.
        let value = std::env::var_os(name).map(PathBuf::from);
        value.filter(|path| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .ok_or(ContextError::NoFolder)?;
    Ok(config.join("draftsman").join(FILE))
}

/// Reads the file; without one there are no contexts.
///
/// # Errors
/// [`ContextError::NoFolder`], [`ContextError::Read`], [`ContextError::Damaged`].
pub(crate) fn read() -> Result<Contexts, ContextError> {
    read_at(&path()?)
}

fn read_at(path: &Path) -> Result<Contexts, ContextError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
        Err(source) => {
            let path = path.to_owned();
            return Err(ContextError::Read { path, source });
        }
    };
    serde_yaml::from_str(&text).map_err(|error| ContextError::Damaged {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// Changes the file. Another call that changes it waits meanwhile.
///
/// # Errors
/// As [`read`], and [`ContextError::Write`]. The file is unchanged after an error, also one of
/// `change`.
pub(crate) fn change<T>(
    change: impl FnOnce(&mut Contexts) -> Result<T, ContextError>,
) -> Result<T, ContextError> {
    let path = path()?;
    let failed = |source| ContextError::Write {
        path: path.clone(),
        source,
    };
    let dir = path.parent().ok_or(ContextError::NoFolder)?;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(failed)?;
    let handle = File::open(dir).map_err(failed)?;
    flock(&handle, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let mut contexts = read_at(&path)?;
    let value = change(&mut contexts)?;
    let text = serde_yaml::to_string(&contexts).map_err(|error| failed(io::Error::other(error)))?;
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        handle.sync_all()
    };
    write().map_err(failed)?;
    Ok(value)
}

/// Completes the options of the connection: from the context in effect, and the scheme of the
/// address.
///
/// # Errors
/// The context is not found, its token is missing, or the file is not usable.
pub(crate) fn apply(common: &mut Common, given: &ArgMatches) -> Result<(), ContextError> {
    let is_flag = |option| given.value_source(option) == Some(ValueSource::CommandLine);
    let is_env = |option| given.value_source(option) == Some(ValueSource::EnvVariable);
    let by_flag = is_flag("context");
    if by_flag && is_flag("addr") {
        return Err(ContextError::TwoAddresses);
    }
    let has_address = is_flag("addr") || (is_env("addr") && !common.addr.is_empty());
    let named = common.context.clone().filter(|name| !name.is_empty());
    let in_effect = if by_flag {
        Some((named.unwrap_or_default(), read()?))
    } else if has_address {
        None
    } else if let Some(name) = named {
        Some((name, read()?))
    } else {
        // Without a home directory the file does not exist, so no context is in use.
        let contexts = path()
            .map(|path| read_at(&path))
            .unwrap_or_else(|_| Ok(Contexts::default()))?;
        contexts.current.clone().map(|name| (name, contexts))
    };
    if let Some((name, contexts)) = in_effect {
        let context = contexts.get(&name)?;
        // A context that is named on the command line replaces the environment too.
        let is_kept = |option| is_flag(option) || (is_env(option) && !by_flag);
        common.addr.clone_from(&context.addr);
        let has_token = common
            .token
            .as_ref()
            .is_some_and(|token| !token.trim().is_empty());
        if !(is_kept("token") && has_token) {
            common.token = context.token(&name)?;
        }
        if !is_kept("ca") {
            common.ca.clone_from(&context.ca);
        }
        if !is_kept("client_cert") {
            common.client_cert.clone_from(&context.client_cert);
            common.client_key.clone_from(&context.client_key);
        }
    }
    let has_tls_file = common.ca.is_some() || common.client_cert.is_some();
    common.addr = address::with_scheme(&common.addr, has_tls_file);
    Ok(())
}
