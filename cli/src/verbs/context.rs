//! `context add`, `use`, `list` and `remove`.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::{Value, json};

use crate::args::{Common, ContextAddArgs, ContextUseArgs, ContextVerb, Output};
use crate::client::CliError;
use crate::contexts::{self, Context, ContextError};
use crate::output::{self, Cell, Column, Paint};

/// Runs a verb of `context`. `given` says which options are on the command line.
///
/// # Errors
/// [`ContextError`], or errors of standard output.
pub(crate) fn context(
    verb: ContextVerb,
    options: &Common,
    given: &ArgMatches,
) -> Result<(), CliError> {
    let format = options.output;
    match verb {
        ContextVerb::Add(args) => add(args, options, given),
        ContextVerb::Use(args) => choose(args, format),
        ContextVerb::List => list(format),
        ContextVerb::Remove(args) => {
            let name = args.name;
            let was_used = contexts::change(|all| {
                all.get(&name)?;
                all.contexts.remove(&name);
                let was_used = all.current.as_ref() == Some(&name);
                all.current.take_if(|current| *current == name);
                Ok(was_used)
            })?;
            let also = if was_used {
                "; no context is in use now"
            } else {
                ""
            };
            say(
                &format!("context {name} is removed{also}"),
                json!({}),
                format,
            )
        }
    }
}

fn add(args: ContextAddArgs, options: &Common, given: &ArgMatches) -> Result<(), CliError> {
    let is_flag = |option| given.value_source(option) == Some(ValueSource::CommandLine);
    if !is_name(&args.name) {
        return Err(ContextError::Name(args.name).into());
    }
    if is_flag("token") {
        return Err(ContextError::StoredToken.into());
    }
    if !is_flag("addr") || options.addr.trim().is_empty() {
        return Err(ContextError::NoAddress.into());
    }
    // Only what this command line has: the environment may be that of another intake.
    let file = |option, path: &Option<PathBuf>| path.clone().filter(|_| is_flag(option));
    let context = Context {
        addr: options.addr.trim().to_owned(),
        token_file: absolute(args.token_file)?,
        token_env: args.token_env,
        ca: absolute(file("ca", &options.ca))?,
        client_cert: absolute(file("client_cert", &options.client_cert))?,
        client_key: absolute(file("client_key", &options.client_key))?,
    };
    let name = args.name;
    let value = json!({ "context": json_of(&name, &context, args.is_used) });
    contexts::change(|all| {
        if all.contexts.contains_key(&name) && !args.replace {
            return Err(ContextError::Exists(name.clone()));
        }
        all.contexts.insert(name.clone(), context);
        if args.is_used {
            all.current = Some(name.clone());
        }
        Ok(())
    })?;
    let next = if args.is_used {
        "and in use".to_owned()
    } else {
        format!("; use it with `draftsman context use {name}` or --context {name}")
    };
    let separator = if args.is_used { " " } else { "" };
    let text = format!("context {name} is stored{separator}{next}");
    say(&text, value, options.output)
}

fn choose(args: ContextUseArgs, format: Output) -> Result<(), CliError> {
    let name = args.name.filter(|_| !args.none);
    contexts::change(|all| {
        if let Some(name) = &name {
            all.get(name)?;
        }
        all.current.clone_from(&name);
        Ok(())
    })?;
    let text = match &name {
        Some(name) => format!("context {name} is in use"),
        None => "no context is in use".to_owned(),
    };
    say(&text, json!({ "current": name }), format)
}

fn list(format: Output) -> Result<(), CliError> {
    let all = contexts::read()?;
    let is_used = |name: &str| all.current.as_deref() == Some(name);
    if format == Output::Json {
        let contexts = all.contexts.iter();
        let contexts: Vec<Value> = contexts
            .map(|(name, context)| json_of(name, context, is_used(name)))
            .collect();
        return Ok(output::json_document(&json!({ "contexts": contexts }))?);
    }
    if all.contexts.is_empty() {
        let hint = "no contexts; add one with `draftsman context add NAME --addr URL`";
        return Ok(output::note(hint)?);
    }
    let rows = all.contexts.iter().map(|(name, context)| {
        let token = match (&context.token_file, &context.token_env) {
            (Some(file), _) => format!("file {}", file.display()),
            (None, Some(variable)) => format!("variable {variable}"),
            (None, None) => "none".to_owned(),
        };
        let ca = context.ca.as_ref();
        [
            Cell::from(name),
            Cell::from(if is_used(name) { "used" } else { "" }).painted(Paint::Good),
            Cell::from(&context.addr),
            Cell::from(token),
            Cell::from(ca.map_or_else(String::new, |ca| ca.display().to_string())),
        ]
    });
    let columns = [
        Column::value("CONTEXT"),
        Column::value(""),
        Column::text("ADDRESS"),
        Column::text("TOKEN").omitted(1),
        Column::text("CA").omitted(2),
    ];
    Ok(output::list(
        columns,
        &rows.collect::<Vec<_>>(),
        "contexts",
    )?)
}

fn json_of(name: &str, context: &Context, is_used: bool) -> Value {
    let path = |path: &Option<PathBuf>| path.as_deref().map(output::path_json);
    json!({
        "name": name,
        "addr": context.addr,
        "token_file": path(&context.token_file),
        "token_env": context.token_env,
        "ca": path(&context.ca),
        "client_cert": path(&context.client_cert),
        "client_key": path(&context.client_key),
        "current": is_used,
    })
}

fn say(text: &str, value: Value, format: Output) -> Result<(), CliError> {
    match format {
        Output::Json => Ok(output::json_document(&value)?),
        Output::Text => Ok(output::line(text)?),
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain)
}

/// Returns the path from the root, so that it has the same meaning in every folder.
fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>, CliError> {
    let failed = |path: &Path, source| CliError::Read {
        path: path.to_owned(),
        source,
    };
    path.map(|path| std::path::absolute(&path).map_err(|source| failed(&path, source)))
        .transpose()
}
