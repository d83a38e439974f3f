//! What is said about branches and distances.

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, Weekday};
use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tools::location::{Distance, PlaceView};

use super::arguments::refused;
use super::{one_of, some_of};
use crate::opening::State;

/// "850 m", "1.2 km", "5,892 km": as precise as a person needs it.
#[must_use]
pub(crate) fn metres(metres: i64) -> String {
    match metres {
        ..1_000 => format!("{metres} m"),
        1_000..9_950 => {
            let tenths = (metres + 50) / 100;
            format!("{}.{} km", tenths / 10, tenths % 10)
        }
        _ => {
            let km = (metres + 500) / 1_000;
            match (km / 1_000, km % 1_000) {
                (0, rest) => format!("{rest} km"),
                (thousands, rest) => format!("{thousands},{rest:03} km"),
            }
        }
    }
}

/// "open until 18:00", "opens Monday at 08:00".
#[must_use]
pub(crate) fn state(locale: Locale, state: State, today: NaiveDate) -> String {
    match (locale, state) {
        (Locale::En, State::Always) => "always open".to_owned(),
        (Locale::Es, State::Always) => "siempre abierta".to_owned(),
        (Locale::En, State::Never) => "closed".to_owned(),
        (Locale::Es, State::Never) => "cerrada".to_owned(),
        (Locale::En, State::OpenUntil(at)) => format!("open until {}", moment(locale, at, today)),
        (Locale::Es, State::OpenUntil(at)) => {
            format!("abierta hasta {}", moment(locale, at, today))
        }
        (Locale::En, State::OpensAt(at)) => format!("opens {}", moment_at(locale, at, today)),
        (Locale::Es, State::OpensAt(at)) => format!("abre {}", moment_at(locale, at, today)),
    }
}

fn moment(locale: Locale, at: NaiveDateTime, today: NaiveDate) -> String {
    let time = at.format("%H:%M");
    match (locale, named_day(locale, at.date(), today)) {
        (Locale::En, None) => time.to_string(),
        (Locale::Es, None) => format!("las {time}"),
        (Locale::En, Some(day)) => format!("{day} {time}"),
        (Locale::Es, Some(day)) => format!("{day} a las {time}"),
    }
}

fn moment_at(locale: Locale, at: NaiveDateTime, today: NaiveDate) -> String {
    let time = at.format("%H:%M");
    match (locale, named_day(locale, at.date(), today)) {
        (Locale::En, None) => format!("at {time}"),
        (Locale::Es, None) => format!("a las {time}"),
        (Locale::En, Some(day)) => format!("{day} at {time}"),
        (Locale::Es, Some(day)) => format!("{day} a las {time}"),
    }
}

/// "tomorrow", "Monday"; nothing for today.
fn named_day(locale: Locale, day: NaiveDate, today: NaiveDate) -> Option<&'static str> {
    match ((day - today).num_days(), locale) {
        (0, _) => None,
        (1, Locale::En) => Some("tomorrow"),
        (1, Locale::Es) => Some("mañana"),
        (_, Locale::En) => Some(match day.weekday() {
            Weekday::Mon => "Monday",
            Weekday::Tue => "Tuesday",
            Weekday::Wed => "Wednesday",
            Weekday::Thu => "Thursday",
            Weekday::Fri => "Friday",
            Weekday::Sat => "Saturday",
            Weekday::Sun => "Sunday",
        }),
        (_, Locale::Es) => Some(match day.weekday() {
            Weekday::Mon => "el lunes",
            Weekday::Tue => "el martes",
            Weekday::Wed => "el miércoles",
            Weekday::Thu => "el jueves",
            Weekday::Fri => "el viernes",
            Weekday::Sat => "el sábado",
            Weekday::Sun => "el domingo",
        }),
    }
}

/// How branches were looked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// Measured from here.
    pub from: Option<String>,
    /// Only so near.
    pub radius_km: Option<f64>,
    /// Found, and more than was asked for.
    pub left_out: usize,
    /// The shop has branches at all.
    pub anywhere: bool,
}

/// "The nearest branch is Kimironko, 170 m away (KG 11 Avenue; open until 18:00). Then Remera (1.6 km)."
#[must_use]
pub(crate) fn listed(locale: Locale, measured: &Measured, places: &[PlaceView]) -> String {
    if !measured.anywhere {
        return match locale {
            Locale::En => "No branch has been entered yet.".to_owned(),
            Locale::Es => "Todavía no se ha registrado ninguna sucursal.".to_owned(),
        };
    }
    let Some(from) = &measured.from else {
        return by_name(locale, measured, places);
    };
    let within = measured.radius_km.map(|km| match locale {
        Locale::En => format!("within {km} km of {from}"),
        Locale::Es => format!("a menos de {km} km de {from}"),
    });
    let [first, rest @ ..] = places else {
        let within = within.unwrap_or_default();
        return match locale {
            Locale::En => format!("There is no branch {within}."),
            Locale::Es => format!("No hay ninguna sucursal {within}."),
        };
    };
    let first = first_named(locale, first);
    let lead = match (locale, within) {
        (Locale::En, Some(within)) => format!("W{}: {first}.", &within[1..]),
        (Locale::Es, Some(within)) => format!("A{}: {first}.", &within[1..]),
        (Locale::En, None) => format!("The nearest branch is {first}."),
        (Locale::Es, None) => format!("La sucursal más cercana es {first}."),
    };
    format!("{lead}{}{}", then(locale, rest), more(locale, measured))
}

fn by_name(locale: Locale, measured: &Measured, places: &[PlaceView]) -> String {
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    let (names, count) = (some_of(locale, &names), places.len());
    let rest = more(locale, measured);
    match (locale, count) {
        (Locale::En, 1) => {
            format!("1 branch: {names}.{rest} Say where you are to learn how far it is.")
        }
        (Locale::Es, 1) => {
            format!("1 sucursal: {names}.{rest} Diga dónde está para saber a qué distancia queda.")
        }
        (Locale::En, _) => {
            format!("{count} branches: {names}.{rest} Say where you are to find the nearest.")
        }
        (Locale::Es, _) => format!(
            "{count} sucursales: {names}.{rest} Diga dónde está para encontrar la más cercana."
        ),
    }
}

fn first_named(locale: Locale, place: &PlaceView) -> String {
    let about: Vec<&str> = [&place.address, &place.state]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(" ({})", about.join("; "))
    };
    let (name, far) = (&place.name, far(place));
    match locale {
        Locale::En => format!("{name}, {far} away{about}"),
        Locale::Es => format!("{name}, a {far}{about}"),
    }
}

fn far(place: &PlaceView) -> &str {
    place.distance.as_ref().map_or("", |d| &d.text)
}

fn then(locale: Locale, rest: &[PlaceView]) -> String {
    if rest.is_empty() {
        return String::new();
    }
    let named: Vec<String> = rest
        .iter()
        .map(|place| format!("{} ({})", place.name, far(place)))
        .collect();
    let named = some_of(locale, &named);
    match locale {
        Locale::En => format!(" Then {named}."),
        Locale::Es => format!(" Después {named}."),
    }
}

fn more(locale: Locale, measured: &Measured) -> String {
    match (locale, measured.left_out) {
        (_, 0) => String::new(),
        (Locale::En, 1) => " There is 1 more.".to_owned(),
        (Locale::En, many) => format!(" There are {many} more."),
        (Locale::Es, many) => format!(" Hay {many} más."),
    }
}

/// "From Kimironko to Remera it is 1.8 km in a straight line."
#[must_use]
pub(crate) fn apart(locale: Locale, from: &str, to: &str, distance: &Distance) -> String {
    let far = &distance.text;
    match locale {
        Locale::En => format!("From {from} to {to} it is {far} in a straight line."),
        Locale::Es => format!("De {from} a {to} hay {far} en línea recta."),
    }
}

/// "There is no branch called Gisenyi."
#[must_use]
pub(crate) fn unknown_place(
    locale: Locale,
    asked: &str,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = names(locale, &candidates);
    let message = match (locale, candidates.is_empty()) {
        (Locale::En, true) => {
            format!("There is no branch called {asked}. Where that is can be said in coordinates.")
        }
        (Locale::Es, true) => format!(
            "No hay ninguna sucursal llamada {asked}. El lugar se puede indicar con coordenadas."
        ),
        (Locale::En, false) => {
            format!("There is no branch called {asked}. Did you mean {names}?")
        }
        (Locale::Es, false) => {
            format!("No hay ninguna sucursal llamada {asked}. ¿Quiso decir {names}?")
        }
    };
    ToolFailure::new(
        FailureCode::UnknownPlace,
        message,
        "Only branches are known by name (find_nearby lists them). Give any other place as \"latitude,longitude\": -90 to 90, -180 to 180.",
    )
    .at(field)
    .offering(candidates)
}

/// "Which Remera do you mean: Remera north or Remera south?"
#[must_use]
pub(crate) fn ambiguous_place(
    locale: Locale,
    asked: &str,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = names(locale, &candidates);
    let message = match locale {
        Locale::En => format!("Which {asked} do you mean: {names}?"),
        Locale::Es => format!("¿A cuál {asked} se refiere: {names}?"),
    };
    ToolFailure::new(
        FailureCode::AmbiguousPlace,
        message,
        "Ask the person, then repeat the call with one candidate's name exactly as it is written.",
    )
    .at(field)
    .offering(candidates)
}

fn names(locale: Locale, candidates: &[Candidate]) -> String {
    let names: Vec<String> = candidates.iter().map(|c| c.name.clone()).collect();
    one_of(locale, &names)
}

/// "There is no such point on the earth."
#[must_use]
pub(crate) fn nowhere(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => {
            "There is no such point: latitude goes from -90 to 90, longitude from -180 to 180."
        }
        Locale::Es => "Ese punto no existe: la latitud va de -90 a 90 y la longitud de -180 a 180.",
    };
    refused(
        field,
        message.to_owned(),
        "Check that latitude (north) and longitude (east) are not swapped.",
    )
}

/// "A point has a latitude and a longitude."
#[must_use]
pub(crate) fn half_a_point(locale: Locale, missing: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "A point has a latitude and a longitude. Please give both.",
        Locale::Es => "Un punto tiene latitud y longitud. Indique las dos.",
    };
    refused(
        missing,
        message.to_owned(),
        format!("Give {missing} too, or a branch's name as near."),
    )
}

/// "Say either a place or coordinates."
#[must_use]
pub(crate) fn two_places(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Say either a place or coordinates, not both.",
        Locale::Es => "Indique un lugar o unas coordenadas, no las dos cosas.",
    };
    refused(
        "near",
        message.to_owned(),
        "Give near alone, or latitude and longitude.",
    )
}

/// "The radius is more than 0 and at most 20100 km."
#[must_use]
pub(crate) fn bad_radius(locale: Locale, most_km: f64) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("The radius has to be more than 0 and at most {most_km} km."),
        Locale::Es => format!("El radio debe ser mayor que 0 y como máximo {most_km} km."),
    };
    refused(
        "radius_km",
        message,
        "Leave radius_km out to see all branches, nearest first.",
    )
}

/// "Within how far of where?"
#[must_use]
pub(crate) fn radius_around_nothing(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Around which place? Please say where you are.",
        Locale::Es => "¿Alrededor de qué lugar? Diga dónde está.",
    };
    refused(
        "radius_km",
        message.to_owned(),
        "Give near, or latitude and longitude, or leave radius_km out.",
    )
}

/// "There is a branch Remera already."
#[must_use]
pub(crate) fn place_taken(locale: Locale, name: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!(
            "There is a branch {name} already. Choose another name, or remove that one first."
        ),
        Locale::Es => format!("Ya hay una sucursal {name}. Elija otro nombre, o quite antes esa."),
    };
    ToolFailure::new(
        FailureCode::AlreadyExists,
        message,
        "mcp-server place list shows the branches.",
    )
    .at("name")
}

/// "Hours are written like mon-fri 08:00-18:00, sat 09:00-13:00."
#[must_use]
pub(crate) fn bad_hours(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => {
            "Hours are written like \"mon-fri 08:00-18:00, sat 09:00-12:00 14:00-17:00\"; each day once."
        }
        Locale::Es => {
            "El horario se escribe como \"mon-fri 08:00-18:00, sat 09:00-12:00 14:00-17:00\"; cada día una vez."
        }
    };
    refused(
        "hours",
        message.to_owned(),
        "Days are mon to sun or daily; a closing time before the opening time is on the next day; 24:00 is midnight.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_precise_as_people_need_them() {
        for (length, text) in [
            (0, "0 m"),
            (999, "999 m"),
            (1_000, "1.0 km"),
            (1_249, "1.2 km"),
            (1_250, "1.3 km"),
            (9_949, "9.9 km"),
            (9_950, "10 km"),
            (999_499, "999 km"),
            (999_500, "1,000 km"),
            (20_003_931, "20,004 km"),
        ] {
            assert_eq!(metres(length), text);
        }
    }

    #[test]
    fn a_door_is_read_out_in_both_languages() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let at = |text: &str| text.parse::<NaiveDateTime>().unwrap();
        let friday = day("2026-11-20");
        let monday = at("2026-11-23T08:00:00");
        let said = |locale, s| state(locale, s, friday);
        assert_eq!(
            said(Locale::Es, State::OpensAt(monday)),
            "abre el lunes a las 08:00"
        );
        let night = at("2026-11-21T02:00:00");
        assert_eq!(
            said(Locale::En, State::OpenUntil(night)),
            "open until tomorrow 02:00"
        );
        let today = at("2026-11-20T14:00:00");
        assert_eq!(said(Locale::En, State::OpensAt(today)), "opens at 14:00");
        assert_eq!(
            said(Locale::Es, State::OpenUntil(today)),
            "abierta hasta las 14:00"
        );
    }
}
