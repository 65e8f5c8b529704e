//! `export` and `import`: a whole history as one file.
//!
//! Both verbs process one line at a time, so memory use does not depend on the length of the
//! history.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::stream;
use proto::v1::ExportBlueprintRequest;
use serde_json::json;
use tokio::sync::mpsc;
use tonic::Code;

use super::fork::new_id;
use super::history_file::{Header, Lines, line_of, to_entry};
use super::renamed::Renamed;
use crate::args::{ExportArgs, ImportArgs, Output};
use crate::client::{CliError, Client};
use crate::output;

/// The number of messages of an import that are read before they are sent.
const READ_AHEAD: usize = 4;

/// Exports a history to a file, or to standard output.
///
/// # Errors
/// Errors of intake or the file. An incomplete file is removed.
pub(crate) async fn export(mut client: Client, args: ExportArgs) -> Result<(), CliError> {
    let Some(path) = args.file else {
        let stdout = BufWriter::new(io::stdout());
        write(&mut client, args.blueprint_id, stdout, CliError::Write).await?;
        return Ok(());
    };
    let failed = |source| CliError::WriteFile {
        path: path.clone(),
        source,
    };
    let file = BufWriter::new(File::create_new(&path).map_err(failed)?);
    match write(&mut client, args.blueprint_id, file, failed).await {
        Ok(count) => Ok(output::line(format_args!(
            "{}: {} written",
            path.display(),
            output::count(count, "commit")
        ))?),
        Err(error) => {
            // A partial history is useless. If the file cannot be removed, `import` refuses it.
            let _ = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Writes header and commits, and returns the number of commits.
async fn write(
    client: &mut Client,
    blueprint_id: String,
    mut file: impl Write,
    failed: impl Fn(io::Error) -> CliError,
) -> Result<u64, CliError> {
    let request = ExportBlueprintRequest {
        blueprint_id: blueprint_id.clone(),
    };
    let answer = client.blueprints.export_blueprint(request).await?;
    let mut messages = answer.into_inner();
    let header = Header::of(blueprint_id);
    file.write_all(line_of(&header).as_bytes())
        .map_err(&failed)?;
    let mut count = 0;
    while let Some(message) = messages.message().await? {
        count += u64::from(message.commit.is_some());
        let entry = to_entry(message)?;
        file.write_all(line_of(&entry).as_bytes())
            .map_err(&failed)?;
    }
    file.flush().map_err(&failed)?;
    Ok(count)
}

/// Recreates a Blueprint from a file of [`export`].
///
/// # Errors
/// Errors of intake or the file; nothing is imported then.
pub(crate) async fn import(
    mut client: Client,
    args: ImportArgs,
    format: Output,
) -> Result<(), CliError> {
    let is_stdin = args.file == Path::new("-");
    let path = if is_stdin {
        PathBuf::from("standard input")
    } else {
        args.file
    };
    let mut renamed = args
        .new_id
        .as_deref()
        .map(new_id)
        .transpose()?
        .map(Renamed::to);
    let file: Box<dyn BufRead + Send> = if is_stdin {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(&path).map_err(|source| CliError::Read {
            path: path.clone(),
            source,
        })?;
        Box::new(BufReader::new(file))
    };
    let mut lines = Lines::new(file);
    let header = lines.header().map_err(|problem| problem.of(&path))?;
    let damage = Arc::new(Mutex::new(None));
    let found = damage.clone();
    let mut next = move || {
        let message = lines.message(&header.blueprint_id)?;
        match (message, &mut renamed) {
            (Some(message), Some(renamed)) => {
                let message = renamed.message(message);
                message.map(Some).map_err(|problem| lines.damage(problem))
            }
            (message, _) => Ok(message),
        }
    };
    // At a damaged line the stream ends without its last message, so intake rejects it as
    // incomplete.
    let messages = std::iter::from_fn(move || match next() {
        Ok(message) => message,
        Err(damage) => {
            *found.lock().expect("no holder of this lock panics") = Some(damage);
            None
        }
    });
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    // A thread of its own, which ends with the process: a pipe may have no data for minutes, and a
    // refusal of intake must be read meanwhile.
    std::thread::spawn(move || {
        for message in messages {
            if sender.blocking_send(message).is_err() {
                return;
            }
        }
    });
    let messages = stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async move {
        let message = receiver.recv().await?;
        Some((message, receiver))
    });
    let answer = client.blueprints.import_blueprint(messages);
    let answer = answer.await;
    if let Some(damage) = damage.lock().expect("no holder of this lock panics").take() {
        return Err(damage.of(&path));
    }
    let answer = answer.map_err(|status| match status.code() {
        Code::InvalidArgument => CliError::ImportRefused {
            path,
            source: Box::new(status.into()),
        },
        _ => status.into(),
    })?;
    let commit = answer.into_inner().commit;
    let commit = commit.ok_or(CliError::Answer { field: "commit" })?;
    if format == Output::Json {
        let value = json!({ "commit": output::commit_json(&commit) });
        return Ok(output::json_document(&value)?);
    }
    Ok(output::line(format_args!(
        "{}: {} commits imported, the head is version {}",
        commit.blueprint_id,
        commit.seq,
        output::version(&commit.version)
    ))?)
}
