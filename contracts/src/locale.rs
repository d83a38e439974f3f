//! The languages sentences are written in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A language the tools answer in. Requests name it in `_meta["countersign/locale"]`; without one the tenant's is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Locale {
    /// The request's `_meta` member that names the language.
    pub const META_KEY: &'static str = "countersign/locale";

    /// Reads a BCP 47 tag (`es`, `es-MX`, `en_GB`) by its language; `None` for a language we do not write.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Locale> {
        match tag
            .split(['-', '_'])
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "en" => Some(Locale::En),
            "es" => Some(Locale::Es),
            _ => None,
        }
    }

    /// The language subtag.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Locale::En => "en",
            Locale::Es => "es",
        }
    }
}
