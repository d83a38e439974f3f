//! Pictures of the server and its toolsets. Over HTTP they are addresses of ours, which cost a list of tools few bytes and are kept by
//! clients; on stdio, where nobody may be serving them, they are in the list themselves.

use contracts::tool::Toolset;
use rmcp::model::Icon;

/// What they are.
pub(crate) const SVG: &str = "image/svg+xml";
/// Where icons come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Icons<'a> {
    /// From our address.
    At(&'a str),
    /// From the list itself.
    Within,
}

impl Icons<'_> {
    /// The icon of a toolset; of what every client needs it is the server's.
    pub(crate) fn of(self, toolset: Toolset) -> Vec<Icon> {
        let src = match self {
            Icons::At(public_url) => format!("{public_url}/icons/{}.svg", toolset.word()),
            Icons::Within => data(&svg(toolset)),
        };
        vec![
            Icon::new(src)
                .with_mime_type(SVG)
                .with_sizes(vec!["any".to_owned()]),
        ]
    }
}

/// The file of a name: `inventory.svg`.
pub(crate) fn file(name: &str) -> Option<String> {
    let mut all = contracts::scope::TOOLSETS.into_iter().chain([Toolset::All]);
    let named = name.strip_suffix(".svg")?;
    all.find(|toolset| toolset.word() == named).map(svg)
}

/// Lines on a square of 24, in a blue that is seen on white and on black.
fn svg(toolset: Toolset) -> String {
    let lines = match toolset {
        // A box.
        Toolset::Inventory => "M3 7l9-4 9 4v10l-9 4-9-4zM3 7l9 4 9-4M12 11v10",
        // A slip with its torn edge.
        Toolset::Billing => "M5 3h14v18l-3-2-4 2-4-2-3 2zM9 8h6M9 12h6",
        // A coin on a coin.
        Toolset::Payment => "M9 3a6 6 0 100 12A6 6 0 109 3M16 10a6 6 0 11-6 8",
        // A leaf of a calendar.
        Toolset::Booking => "M4 5h16v16H4zM4 10h16M8 3v4M16 3v4",
        // A head and shoulders.
        Toolset::Profile => "M12 3a4 4 0 100 9 4 4 0 100-9M4 21c0-9 16-9 16 0",
        // A pin.
        Toolset::Location => "M12 22s-7-7-7-12a7 7 0 0114 0c0 5-7 12-7 12M12 8v4",
        // A bubble of speech.
        Toolset::Support => "M4 4h16v12h-9l-5 5v-5H4zM8 9h8",
        // A signature under a line.
        Toolset::All => "M4 20h16M5 14c4-12 8-12 5-3s1 6 3 2 3 4 6 0",
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"#3b7dd8\" stroke-width=\"2\"><path d=\"{lines}\"/></svg>"
    )
}

/// The picture as an address. Only what may not stand in one is encoded: base64 would be a third longer.
fn data(svg: &str) -> String {
    let mut src = format!("data:{SVG},");
    for letter in svg.chars() {
        match letter {
            '#' => src.push_str("%23"),
            '<' => src.push_str("%3C"),
            '>' => src.push_str("%3E"),
            ' ' => src.push_str("%20"),
            '"' => src.push('\''),
            other => src.push(other),
        }
    }
    src
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_toolset_has_a_small_picture_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for toolset in contracts::scope::TOOLSETS.into_iter().chain([Toolset::All]) {
            let within = &Icons::Within.of(toolset)[0];
            assert!(within.src.len() < 300, "{} bytes", within.src.len());
            assert!(within.src.starts_with("data:image/svg+xml,%3Csvg"));
            assert!(!within.src.contains(['"', '#', '<', ' ']), "{}", within.src);
            assert!(
                seen.insert(within.src.clone()),
                "{toolset:?} looks like another"
            );
            let at = &Icons::At("https://shop.example").of(toolset)[0];
            assert_eq!(
                at.src,
                format!("https://shop.example/icons/{}.svg", toolset.word())
            );
        }
    }
}
