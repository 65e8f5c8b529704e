//! `edit` and `setting edit`: changes in the editor of this user.
//!
//! What is written is bound to what was read: the version of the head, or the revision of the
//! setting. A text that is not written stays in its file, which is named.

mod draft;

use proto::v1::version_selector::Selector;
use proto::v1::{GetSettingRequest, PutBlueprintRequest, PutSettingRequest};
use serde_json::json;
use shared::blueprint::{Blueprint, yaml};
use tonic::{Code, Status};

use self::draft::Draft;
pub(crate) use self::draft::EditError;
use super::setting_file::{from_doc, to_json, to_yaml};
use super::version_lookup::fetch;
use super::{blueprints, settings};
use crate::args::{EditArgs, Output, SettingEditArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Edits the newest version of a Blueprint.
///
/// # Errors
/// [`EditError`], errors of intake or standard output.
pub(crate) async fn edit(
    mut client: Client,
    args: EditArgs,
    format: Output,
) -> Result<(), CliError> {
    let id = args.blueprint_id;
    let found = fetch(&mut client, &id, Selector::Latest(true)).await?;
    let head = found.commit.ok_or(CliError::Answer { field: "commit" })?;
    let mut draft = Draft::create(&id, &found.document_yaml)?;
    loop {
        let Some(document) = draft.edit().await? else {
            if format == Output::Json {
                let value = json!({
                    "commit": output::commit_json(&head),
                    "created": false,
                    "warnings": [],
                    "trial": null,
                });
                return Ok(output::json_document(&value)?);
            }
            return Ok(output::line(format_args!(
                "{id}: unchanged, nothing was written"
            ))?);
        };
        if let Err(problem) = check(&id, &document) {
            draft.ask_again(problem).await?;
            continue;
        }
        let request = PutBlueprintRequest {
            document,
            expected_head: Some(head.version.clone()),
            rationale: args.rationale.clone(),
            ..Default::default()
        };
        match client.blueprints.put_blueprint(request).await {
            Ok(answer) => {
                draft.discard();
                return blueprints::show_put(answer.into_inner(), format);
            }
            Err(status) if is_about_the_text(&status) => {
                draft.ask_again(CliError::from(status)).await?;
            }
            Err(status) => {
                let next = match status.code() {
                    Code::Aborted => format!(
                        "\n`draftsman diff {id} {}` shows what changed meanwhile; with that in your \
                         text, `draftsman put {}` writes it",
                        output::short_version(&head.version),
                        draft.path().display()
                    ),
                    _ => format!(
                        "; write it with `draftsman put {} --expected-head {}`",
                        draft.path().display(),
                        head.version
                    ),
                };
                return Err(draft.kept(&next, CliError::from(status)).into());
            }
        }
    }
}

/// Checks a document as intake does.
fn check(id: &str, document: &str) -> Result<(), EditError> {
    let blueprint =
        Blueprint::parse(document).map_err(|error| EditError::Invalid(error.to_string()))?;
    same_id(id, blueprint.id().as_str())
}

fn same_id(expected: &str, found: &str) -> Result<(), EditError> {
    if expected == found {
        return Ok(());
    }
    Err(EditError::OtherId {
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

/// Returns true if another text could be accepted.
fn is_about_the_text(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::FailedPrecondition
    )
}

/// Edits a setting.
///
/// # Errors
/// As [`edit`].
pub(crate) async fn edit_setting(
    mut client: Client,
    args: SettingEditArgs,
    format: Output,
) -> Result<(), CliError> {
    let id = args.setting_id;
    let request = GetSettingRequest {
        setting_id: id.clone(),
    };
    let answer = client.settings.get_setting(request).await?.into_inner();
    let stored = answer
        .setting
        .ok_or(CliError::Answer { field: "setting" })?;
    let mut draft = Draft::create(&format!("setting-{id}"), &to_yaml(&stored)?)?;
    loop {
        let Some(text) = draft.edit().await? else {
            if format == Output::Json {
                return Ok(output::json_document(
                    &json!({ "setting": to_json(&stored), "orbit_commit": null, "trial": null }),
                )?);
            }
            let text = format_args!("setting {id}: unchanged, nothing was written");
            return Ok(output::line(text)?);
        };
        let parsed = yaml::parse(&text).map_err(|error| error.to_string());
        let parsed = parsed
            .and_then(|doc| from_doc(&doc, false))
            .map_err(EditError::Invalid);
        let setting = match parsed {
            Ok(setting) => match same_id(&id, &setting.id) {
                Ok(()) => setting,
                Err(problem) => {
                    draft.ask_again(problem).await?;
                    continue;
                }
            },
            Err(problem) => {
                draft.ask_again(problem).await?;
                continue;
            }
        };
        let request = PutSettingRequest {
            setting: Some(setting),
            expected_revision: Some(stored.revision),
            ..Default::default()
        };
        match client.settings.put_setting(request).await {
            Ok(answer) => {
                draft.discard();
                return settings::show_put(answer.into_inner(), format);
            }
            Err(status) if is_about_the_text(&status) => {
                draft.ask_again(CliError::from(status)).await?;
            }
            Err(status) => {
                let next = match status.code() {
                    Code::Aborted => format!(
                        "\n`draftsman setting get {id}` shows what is stored now; with that in your \
                         text, `draftsman setting put {}` writes it",
                        draft.path().display()
                    ),
                    _ => format!(
                        "; write it with `draftsman setting put {} --expected-revision {}`",
                        draft.path().display(),
                        stored.revision
                    ),
                };
                return Err(draft.kept(&next, CliError::from(status)).into());
            }
        }
    }
}
