//! The languages people talk to us in.

use contracts::locale::Locale;
use serde::{Deserialize, Serialize};

/// A language whose yes and no we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
    /// French.
    Fr,
    /// Swahili.
    Sw,
    /// Kinyarwanda.
    Rw,
    /// Portuguese.
    Pt,
}

impl Language {
    /// The locale tools answer in for this language: Spanish for Spanish, else English.
    #[must_use]
    pub const fn locale(self) -> Locale {
        match self {
            Language::Es => Locale::Es,
            Language::En | Language::Fr | Language::Sw | Language::Rw | Language::Pt => Locale::En,
        }
    }
}
