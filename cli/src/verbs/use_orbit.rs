//! `setting use-orbit`: changes the orbit of a setting.

use proto::v1::version_selector::Selector;
use proto::v1::{GetSettingRequest, PutSettingRequest, VersionSelector};
use serde_json::json;

use super::setting_file::to_json;
use super::trial;
use crate::args::{Output, UseOrbitArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Sets the orbit of a setting to the latest version of a Blueprint. Keeps everything else.
///
/// # Errors
/// Errors of intake: the setting or Blueprint is not found, or another caller has just written the
/// setting.
pub(crate) async fn use_orbit(
    mut client: Client,
    args: UseOrbitArgs,
    format: Output,
) -> Result<(), CliError> {
    let request = GetSettingRequest {
        setting_id: args.setting,
    };
    let answer = client.settings.get_setting(request).await?.into_inner();
    let missing = || CliError::Answer { field: "setting" };
    let mut setting = answer.setting.ok_or_else(missing)?;
    setting.blueprint_id = args.orbit;
    setting.selector = Some(VersionSelector {
        selector: Some(Selector::Latest(true)),
    });
    let request = PutSettingRequest {
        expected_revision: Some(setting.revision),
        setting: Some(setting),
        ..Default::default()
    };
    let answer = client.settings.put_setting(request).await?.into_inner();
    let setting = answer.setting.ok_or_else(missing)?;
    if format == Output::Json {
        let trial = trial::json(answer.trial, &answer.trial_detail);
        let value = json!({ "setting": to_json(&setting), "trial": trial });
        return Ok(output::json_document(&value)?);
    }
    output::line(format_args!(
        "setting {}: revision {}; {} processes the issues from the next one on",
        setting.id, setting.revision, setting.blueprint_id
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}
