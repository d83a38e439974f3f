//! `completion/complete`: what the argument of a prompt or the variable of a template may become.

use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, Reference};

use super::addresses::{Address, TEMPLATES};
use super::prompts::{self, Named};
use super::resources::{Reader, guarded, within};
use crate::completing::{self, Kind, Suggestions};
use crate::days;
use crate::handler::Call;

/// What is completed.
enum Asked {
    Names(Kind),
    Days,
}

/// The completion.
///
/// # Errors
/// For a prompt or template that is not there for the caller, and for an argument it does not have; an internal error, logged, for what
/// went wrong.
pub(super) async fn complete(
    reader: Reader<'_>,
    request: &CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let asked = asked(reader, request)?;
    let begun = request.argument.value.as_str();
    let work = within(reader, async |call: &mut Call<'_>| match asked {
        Asked::Names(kind) => completing::suggest(call, kind, begun).await,
        Asked::Days => {
            let today = days::day_of(call.now, call.shop.time_zone);
            let days = prompts::days_beginning(begun, call.locale, today);
            Ok(Suggestions::of(days, true))
        }
    });
    // A beginning that is no name has no completions.
    let found = guarded(reader, "completion", work)
        .await?
        .unwrap_or_default();
    CompletionInfo::with_pagination(found.values, found.total, found.more)
        .map(CompleteResult::new)
        .map_err(|error| {
            tracing::error!(%error, "completion");
            ErrorData::internal_error("This could not be completed.", None)
        })
}

fn asked(reader: Reader<'_>, request: &CompleteRequestParams) -> Result<Asked, ErrorData> {
    let argument = request.argument.name.as_str();
    let unknown = |what: &str| ErrorData::invalid_params(format!("Unknown {what}"), None);
    match &request.r#ref {
        Reference::Prompt(prompt) => {
            let named = Named::find(&prompt.name)
                .filter(|named| named.is_open_to(reader.caller))
                .ok_or_else(|| unknown("prompt"))?;
            match argument {
                _ if argument != named.argument() => Err(unknown("argument")),
                "category" => Ok(Asked::Names(Kind::Category)),
                _ => Ok(Asked::Days),
            }
        }
        Reference::Resource(resource) => {
            let template = TEMPLATES.iter().find(|(uri, ..)| *uri == resource.uri);
            let (uri, variable, kind) = template.ok_or_else(|| unknown("template"))?;
            let example = uri.replace(['{', '}'], "");
            let open = Address::read(&example).is_some_and(|a| a.is_open_to(reader.caller));
            match (open, argument == *variable) {
                (false, _) => Err(unknown("template")),
                (true, false) => Err(unknown("argument")),
                (true, true) => Ok(Asked::Names(*kind)),
            }
        }
        // Whatever later revisions may refer to.
        _ => Err(unknown("reference")),
    }
}
