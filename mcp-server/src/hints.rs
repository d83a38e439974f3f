//! A hint tells a model what to do next. A tool that this caller is not offered is nothing it can do, so what names one is left out. Pure.

use contracts::locale::Locale;

/// Where one piece of a hint ends and the next begins; what joins them stays with the piece after it.
const JOINTS: [&str; 3] = [". ", "; ", ", "];

/// The hint without the pieces that name a tool out of reach; what to do at all where nothing is left. `is_out_of_reach` is asked about
/// every word that could be the name of a tool.
pub(crate) fn within_reach(
    hint: &str,
    locale: Locale,
    is_out_of_reach: impl Fn(&str) -> bool,
) -> Option<String> {
    let names_one = |text: &str| words(text).any(&is_out_of_reach);
    if !names_one(hint) {
        return None;
    }
    let mut kept = String::new();
    for piece in pieces(&without_asides(hint, &names_one)) {
        if names_one(piece) {
            continue;
        }
        if kept.is_empty() {
            kept.push_str(piece.trim_start_matches(['.', ';', ',', ' ']));
        } else {
            kept.push_str(piece);
        }
    }
    let kept = kept.trim_end_matches(['.', ';', ',', ' ']);
    Some(if kept.is_empty() {
        nothing_left(locale)
    } else {
        format!("{kept}.")
    })
}

fn nothing_left(locale: Locale) -> String {
    match locale {
        Locale::En => "Tell the person; the people of the shop can do more.",
        Locale::Es => "Dígaselo a la persona; en la tienda pueden hacer más.",
    }
    .to_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .filter(|word| word.contains('_'))
}

/// The text without what is said in brackets, where that names a tool out of reach.
fn without_asides(text: &str, names_one: &impl Fn(&str) -> bool) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (") {
        kept.push_str(before);
        match after.split_once(')') {
            Some((aside, after)) if names_one(aside) => rest = after,
            _ => {
                kept.push_str(" (");
                rest = after;
            }
        }
    }
    kept + rest
}

fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut from = 0;
    let joints = text
        .char_indices()
        .map(|(at, _)| at)
        .filter(|at| JOINTS.iter().any(|joint| text[*at..].starts_with(joint)));
    for at in joints {
        pieces.push(&text[from..at]);
        from = at;
    }
    pieces.push(&text[from..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn for_a_customer(hint: &str) -> Option<String> {
        let out_of_reach = [
            "inventory_add_item",
            "billing_create_bill",
            "find_customers",
        ];
        within_reach(hint, Locale::En, |word| out_of_reach.contains(&word))
    }

    #[test]
    fn what_she_cannot_do_is_not_proposed() {
        for (hint, expected) in [
            (
                "Ask the person which item is meant, see inventory_list_items, or add it with inventory_add_item.",
                "Ask the person which item is meant, see inventory_list_items.",
            ),
            (
                "Nothing has been sold yet; a bill is made with billing_create_bill.",
                "Nothing has been sold yet.",
            ),
            (
                "Tell the person (find_customers) where it stands (billing_get_bill).",
                "Tell the person where it stands (billing_get_bill).",
            ),
            (
                "Use billing_create_bill. Then tell the person.",
                "Then tell the person.",
            ),
            (
                "Use billing_create_bill.",
                "Tell the person; the people of the shop can do more.",
            ),
        ] {
            assert_eq!(for_a_customer(hint).as_deref(), Some(expected), "{hint}");
        }
    }

    #[test]
    fn other_hints_stay_as_they_are() {
        for hint in [
            "",
            "Give 1, 2 or 3; \"last\" is the last one.",
            "See inventory_list_items (by lines_of_it). It is é_è",
        ] {
            assert_eq!(for_a_customer(hint), None);
        }
    }
}
