//! How far a caller may reach: for every toolset, the most that a call may do.
//!
//! A scope is written `billing:commit`: a toolset, or `all`, and an effect, which includes the lesser ones. `admin` is the owner's
//! administration. What a caller may do is always the least of several reaches: its role's, its key's or token's, the server's settings',
//! and what the request's headers leave of it.

use crate::tool::{Effect, Toolset};

/// The scope of the owner's administration, which is no toolset.
pub const ADMIN: &str = "admin";

/// The toolsets a scope can name, in the order in which they are listed.
pub const TOOLSETS: [Toolset; 7] = [
    Toolset::Inventory,
    Toolset::Billing,
    Toolset::Payment,
    Toolset::Booking,
    Toolset::Profile,
    Toolset::Location,
    Toolset::Support,
];

/// The most that calls of each toolset may do, and whether administration is within reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reach {
    /// As [`TOOLSETS`]; `None` where nothing is allowed.
    most: [Option<Effect>; TOOLSETS.len()],
    admin: bool,
}

/// A scope that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no scope: write `billing:read`, `billing:write` or `billing:commit` with a toolset or `all`, or `admin`"
)]
pub struct BadScope(pub String);

impl Reach {
    /// All that a role allows.
    pub const EVERYTHING: Reach = Reach {
        most: [Some(Effect::Commit); TOOLSETS.len()],
        admin: true,
    };
    /// Nothing at all.
    pub const NOTHING: Reach = Reach {
        most: [None; TOOLSETS.len()],
        admin: false,
    };
    /// Every tool, without administration.
    pub const TOOLS: Reach = Reach {
        most: [Some(Effect::Commit); TOOLSETS.len()],
        admin: false,
    };
    /// Every toolset, reading only.
    pub const READING: Reach = Reach {
        most: [Some(Effect::Read); TOOLSETS.len()],
        admin: false,
    };

    /// What scopes allow together.
    ///
    /// # Errors
    /// The first that is no scope.
    pub fn of_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Reach, BadScope> {
        let mut reach = Reach::NOTHING;
        for scope in scopes {
            reach.add(scope)?;
        }
        Ok(reach)
    }

    /// Whole toolsets, by their words; administration as well.
    ///
    /// # Errors
    /// The first word that names no toolset.
    pub fn of_toolsets<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Reach, BadScope> {
        let mut reach = Reach {
            admin: true,
            ..Reach::NOTHING
        };
        for word in words {
            reach.allow(word, Effect::Commit)?;
        }
        Ok(reach)
    }

    fn add(&mut self, scope: &str) -> Result<(), BadScope> {
        if scope == ADMIN {
            self.admin = true;
            return Ok(());
        }
        let bad = || BadScope(scope.to_owned());
        let (toolset, effect) = scope.split_once(':').ok_or_else(bad)?;
        let effect = match effect {
            "read" => Effect::Read,
            "write" => Effect::Write,
            "commit" => Effect::Commit,
            _ => return Err(bad()),
        };
        self.allow(toolset, effect).map_err(|_| bad())
    }

    fn allow(&mut self, toolset: &str, effect: Effect) -> Result<(), BadScope> {
        let mut found = toolset == Toolset::All.word();
        for (each, most) in TOOLSETS.iter().zip(&mut self.most) {
            if toolset == each.word() || toolset == Toolset::All.word() {
                *most = (*most).max(Some(effect));
                found = true;
            }
        }
        found
            .then_some(())
            .ok_or_else(|| BadScope(toolset.to_owned()))
    }

    /// What both allow.
    #[must_use]
    pub fn narrowed(self, other: Reach) -> Reach {
        let mut most = self.most;
        for (most, other) in most.iter_mut().zip(other.most) {
            *most = (*most).min(other);
        }
        Reach {
            most,
            admin: self.admin && other.admin,
        }
    }

    /// Whether a tool of this toolset and effect may be called. What every client needs is there for whoever may call anything.
    #[must_use]
    pub fn allows(self, toolset: Toolset, effect: Effect) -> bool {
        TOOLSETS.iter().zip(self.most).any(|(each, most)| {
            (*each == toolset || toolset == Toolset::All) && most >= Some(effect)
        })
    }

    /// Whether the owner's administration is within reach.
    #[must_use]
    pub const fn admin(self) -> bool {
        self.admin
    }

    /// The same as scopes, in one order.
    #[must_use]
    pub fn scopes(self) -> Vec<String> {
        let mut scopes: Vec<String> = TOOLSETS
            .iter()
            .zip(self.most)
            .filter_map(|(toolset, most)| Some(format!("{}:{}", toolset.word(), most?.word())))
            .collect();
        if self.admin {
            scopes.push(ADMIN.to_owned());
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(scopes: &[&str]) -> Reach {
        Reach::of_scopes(scopes.iter().copied()).unwrap()
    }

    #[test]
    fn a_scope_includes_the_lesser_effects_of_its_toolset_and_nothing_else() {
        let some = reach(&["billing:write", "inventory:read"]);
        for (toolset, effect, allowed) in [
            (Toolset::Billing, Effect::Read, true),
            (Toolset::Billing, Effect::Write, true),
            (Toolset::Billing, Effect::Commit, false),
            (Toolset::Inventory, Effect::Read, true),
            (Toolset::Inventory, Effect::Write, false),
            (Toolset::Payment, Effect::Read, false),
            (Toolset::All, Effect::Read, true),
        ] {
            assert_eq!(
                some.allows(toolset, effect),
                allowed,
                "{toolset:?} {effect:?}"
            );
        }
        assert!(!some.admin());
        assert!(!Reach::NOTHING.allows(Toolset::All, Effect::Read));
        assert_eq!(reach(&["all:commit", "admin"]), Reach::EVERYTHING);
        assert_eq!(reach(&["all:read"]), Reach::READING);
    }

    #[test]
    fn reaches_only_ever_narrow_one_another() {
        let key = reach(&["billing:commit", "payment:read", "admin"]);
        let server = Reach::of_toolsets(["billing", "booking"]).unwrap();
        let both = key.narrowed(server);
        assert_eq!(both.scopes(), ["billing:commit", "admin"]);
        assert_eq!(both.narrowed(Reach::READING).scopes(), ["billing:read"]);
        assert_eq!(key.narrowed(Reach::EVERYTHING), key);
    }

    #[test]
    fn scopes_say_the_same_again_and_nonsense_is_refused() {
        let some = reach(&["billing:write", "admin", "support:commit"]);
        let again: Vec<String> = some.scopes();
        assert_eq!(
            reach(&again.iter().map(String::as_str).collect::<Vec<_>>()),
            some
        );
        for bad in [
            "",
            "billing",
            "billing:",
            "billing:all",
            "shop:read",
            "billing:read ",
            "Admin",
        ] {
            assert!(Reach::of_scopes([bad]).is_err(), "{bad}");
        }
        assert!(Reach::of_toolsets(["shop"]).is_err());
    }
}
