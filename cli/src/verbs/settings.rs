//! `setting get`, `put`, `list` and `delete`.

use proto::v1::{
    DeleteSettingRequest, EnhanceSetting, GetSettingRequest, ListSettingsRequest,
    PutSettingRequest, PutSettingResponse,
};
use serde_json::json;
use shared::blueprint::yaml;

use super::blueprints::read;
use super::setting_file::{from_doc, to_json, to_yaml};
use super::{edit, page_size, trial, use_model, use_orbit};
use crate::args::{DocumentFormat, Output, SettingPutArgs, SettingVerb};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, Paint};

/// Runs a verb of `setting`.
///
/// # Errors
/// Errors of the file, intake or standard output.
pub(crate) async fn setting(
    client: Client,
    verb: SettingVerb,
    format: Output,
) -> Result<(), CliError> {
    match verb {
        SettingVerb::Get(args) => get(client, args.setting_id, format).await,
        SettingVerb::Put(args) => put(client, args, format).await,
        SettingVerb::Edit(args) => edit::edit_setting(client, args, format).await,
        SettingVerb::List => list(client, format).await,
        SettingVerb::Delete(args) => delete(client, args.setting_id, format).await,
        SettingVerb::UseModel(args) => use_model::use_model(client, args, format).await,
        SettingVerb::UseOrbit(args) => use_orbit::use_orbit(client, args, format).await,
    }
}

async fn get(mut client: Client, setting_id: String, format: Output) -> Result<(), CliError> {
    let answer = client
        .settings
        .get_setting(GetSettingRequest { setting_id });
    let setting = answer.await?.into_inner().setting;
    let setting = setting.ok_or(CliError::Answer { field: "setting" })?;
    if format == Output::Json {
        return Ok(output::json_document(&to_json(&setting))?);
    }
    Ok(output::document(&to_yaml(&setting)?)?)
}

async fn put(mut client: Client, args: SettingPutArgs, format: Output) -> Result<(), CliError> {
    let text = read(&args.file)?;
    let setting = yaml::parse_as(&text, DocumentFormat::to_reader(args.format))
        .map_err(|error| error.to_string());
    let setting = setting.and_then(|doc| from_doc(&doc, args.no_verification));
    let setting = setting.map_err(|problem| CliError::Setting {
        path: args.file.clone(),
        problem,
    })?;
    let orbit_document = args.orbit.as_deref().map(read).transpose()?;
    let request = PutSettingRequest {
        setting: Some(setting),
        orbit_document,
        orbit_format: DocumentFormat::to_wire(args.orbit_format).into(),
        expected_revision: args.expected_revision,
    };
    let answer = client.settings.put_setting(request).await?;
    show_put(answer.into_inner(), format)
}

/// Prints what a write of a setting did.
///
/// # Errors
/// Errors of standard output.
pub(super) fn show_put(answer: PutSettingResponse, format: Output) -> Result<(), CliError> {
    let setting = answer
        .setting
        .ok_or(CliError::Answer { field: "setting" })?;
    if format == Output::Json {
        let orbit_commit = answer.orbit_commit.as_ref().map(output::commit_json);
        let trial = trial::json(answer.trial, &answer.trial_detail);
        let value =
            json!({ "setting": to_json(&setting), "orbit_commit": orbit_commit, "trial": trial });
        return Ok(output::json_document(&value)?);
    }
    if let Some(commit) = answer.orbit_commit {
        output::line(format_args!(
            "{}: commit {}, version {}",
            commit.blueprint_id,
            commit.seq,
            output::version(&commit.version)
        ))?;
    }
    output::line(format_args!(
        "setting {}: revision {}; it applies from the next issue on",
        setting.id, setting.revision
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}

/// Returns all settings by id.
///
/// # Errors
/// Errors of intake.
pub(super) async fn all(client: &mut Client) -> Result<Vec<EnhanceSetting>, CliError> {
    let (mut settings, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListSettingsRequest {
            page_size: page_size(usize::MAX),
            page_token,
        };
        let page = client.settings.list_settings(request).await?.into_inner();
        settings.extend(page.settings);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(settings);
        }
    }
}

async fn list(mut client: Client, format: Output) -> Result<(), CliError> {
    let settings = all(&mut client).await?;
    if format == Output::Json {
        let settings: Vec<_> = settings.iter().map(to_json).collect();
        return Ok(output::json_document(&json!({ "settings": settings }))?);
    }
    let rows = settings.iter().map(|setting| {
        [
            Cell::from(&setting.id),
            Cell::from(&setting.blueprint_id),
            Cell::from(use_model::author(setting.spawner.as_ref())),
            match setting.verifier_axes.as_slice() {
                [] => Cell::from("none").painted(Paint::Warn),
                axes => Cell::from(axes.join(",")),
            },
            Cell::number(setting.ttl_secs),
            Cell::from(setting.applies_to.join(" ")),
            Cell::number(setting.revision),
            Cell::from(&setting.updated_by),
        ]
    });
    let columns = [
        Column::value("SETTING"),
        Column::value("ORBIT"),
        Column::text("SPAWNER").omitted(2),
        Column::text("AXES").omitted(1),
        Column::value("SECONDS").omitted(5),
        Column::text("APPLIES TO").omitted(3),
        Column::value("REVISION").omitted(6),
        Column::text("BY").omitted(4),
    ];
    Ok(output::list(
        columns,
        &rows.collect::<Vec<_>>(),
        "settings",
    )?)
}

async fn delete(mut client: Client, setting_id: String, format: Output) -> Result<(), CliError> {
    let request = DeleteSettingRequest {
        setting_id: setting_id.clone(),
    };
    client.settings.delete_setting(request).await?;
    if format == Output::Json {
        return Ok(output::json_document(&json!({}))?);
    }
    Ok(output::line(format_args!(
        "setting {setting_id} is deleted"
    ))?)
}
