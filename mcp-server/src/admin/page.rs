//! Which page of a list is asked for. The same for every list that goes by name or id.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::cursor;

/// Rows of a page when nobody says how many.
const DEFAULT: u16 = 50;
/// Most rows of a page.
const MAX: u16 = 200;

/// `?cursor=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    cursor: Option<String>,
    limit: Option<u16>,
}

impl Page {
    /// How many rows, of what it has.
    ///
    /// # Errors
    /// When there would be none, or more than [`MAX`].
    pub(super) fn limit(&self, of: &str) -> Result<u16, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT);
        if (1..=MAX).contains(&limit) {
            Ok(limit)
        } else {
            let detail = format!("A page has 1 to {MAX} {of}.");
            Err(Problem::value("limit", detail))
        }
    }

    /// After which row it begins; `None` for the first page.
    ///
    /// # Errors
    /// When the cursor is none of ours.
    pub(super) fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let read = |text: &String| {
            let why = "The cursor is none of ours. Begin again without it.";
            cursor::read(text).ok_or_else(|| Problem::value("cursor", why))
        };
        self.cursor.as_ref().map(read).transpose()
    }
}
